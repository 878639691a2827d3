"""Where profiles are read from: packaged files, the user's folders, the environment, `--set`."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from aurl.errors import NotFoundError, UsageError, did_you_mean
from aurl.profile.faults import Fault
from aurl.profile.merge import Layer, nested
from aurl.profile.toml import parse_value
from aurl.storage import find_upwards, read_toml

PACKAGED_FOLDER = Path(__file__).parent.parent / "profiles"
PACKAGED = "packaged"
"""How the origin of a packaged file begins."""
PROJECT_FILE = "aurl.toml"
SIZES = ("tiny", "small", "base", "large")
VARIABLE_PREFIX = "AURL_"
OTHER_VARIABLES = frozenset({"AURL_HOME", "AURL_CACHE"})
"""Variables that are no keys of a profile."""
EXTENDS, DESCRIPTION, HOME = "extends", "description", "home"
META_KEYS = (EXTENDS, DESCRIPTION)


@dataclass(frozen=True, slots=True)
class Listed:
    """A profile that can be named: its name, its file, and what it says of itself."""

    name: str
    path: Path
    description: str
    packaged: bool


def user_folder() -> Path:
    """Holds `aurl.toml`, which always counts, and `profiles/NAME.toml`, which count when they are named."""
    return platformdirs.user_config_path("aurl")


def _named_folders() -> tuple[Path, ...]:
    return (user_folder() / "profiles", PACKAGED_FOLDER)


def list_profiles() -> list[Listed]:
    """All profiles that can be named, packaged ones last.

    Raises:
        UsageError: one of them is not TOML.
    """
    return [
        Listed(path.stem, path, str(read_toml(path).get(DESCRIPTION, "")), folder == PACKAGED_FOLDER)
        for folder in _named_folders()
        for path in sorted(folder.glob("*.toml"))
    ]


def find_profile(name: str, *, beside: Path | None = None, not_these: Sequence[Path] = ()) -> Path:
    """The file of a profile that is named or whose path is given.

    Args:
        name: a name, or a path (with a separator, or ending in .toml).
        beside: folder that a relative path starts from; the working folder by default.
        not_these: files to pass over, so that a user's `small` can extend the packaged one.

    Raises:
        NotFoundError: there is none; the hint lists what there is.
    """
    if name.endswith(".toml") or "/" in name or os.sep in name:
        path = ((beside or Path.cwd()) / Path(name).expanduser()).resolve()
        if path.is_file():
            return path
        raise NotFoundError(f"there is no profile file {path}", hint="see what there is: aurl profile list")
    candidates = [folder / f"{name}.toml" for folder in _named_folders()]
    for path in candidates:
        if path.is_file() and path not in not_these:
            return path
    known = sorted({path.stem for folder in _named_folders() for path in folder.glob("*.toml")})
    hint = did_you_mean(name, known) or f"there are: {', '.join(known)}"
    raise NotFoundError(f"there is no profile called {name!r}", hint=hint)


def named_layers(name: str) -> Iterator[Layer | Fault]:
    """The layers of one named profile: what it extends first, then itself."""
    yield from _file_layers(find_profile(name), ())


def file_layers(path: Path) -> Iterator[Layer | Fault]:
    """The layers of one file: what it extends first, then itself."""
    yield from _file_layers(path, ())


def _file_layers(path: Path, chain: tuple[Path, ...]) -> Iterator[Layer | Fault]:
    origin = origin_of(path)
    if path in chain:
        circle = " → ".join(origin_of(step) for step in (*chain, path))
        yield Fault(EXTENDS, f"goes round in a circle: {circle}")
        return
    try:
        table = read_toml(path)
    except UsageError as error:
        yield Fault("", error.message)
        return
    parents = table.get(EXTENDS, [])
    parents = [parents] if isinstance(parents, str) else parents
    if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
        yield Fault(EXTENDS, "should be a name or a path, or an array of them", origin)
        parents = []
    for parent in parents:
        found = find_profile(parent, beside=path.parent, not_these=(path,))
        yield from _file_layers(found, (*chain, path))
    ignored = (*META_KEYS, HOME) if path.name == PROJECT_FILE else META_KEYS
    yield Layer(origin, {key: value for key, value in table.items() if key not in ignored})


def origin_of(path: Path) -> str:
    """How messages call a profile file: "packaged small", or its path."""
    return f"{PACKAGED} {path.stem}" if path.parent == PACKAGED_FOLDER else str(path)


def standing_layers(start: Path | None) -> Iterator[Layer | Fault]:
    """What counts without being named: the user's `aurl.toml`, then the one nearest to `start`."""
    user = user_folder() / PROJECT_FILE
    project = find_upwards(PROJECT_FILE, start or Path.cwd())
    for path in dict.fromkeys((user.resolve(), project)):
        if path is not None and path.is_file():
            yield from file_layers(path)


def environment_layers(environment: Mapping[str, str]) -> Iterator[Layer | Fault]:
    """`AURL_TRAINING__LR=1e-3` is `training.lr = 1e-3`."""
    for variable in sorted(environment):
        if not variable.startswith(VARIABLE_PREFIX) or variable in OTHER_VARIABLES:
            continue
        dotted = variable.removeprefix(VARIABLE_PREFIX).lower().replace("__", ".")
        if all(dotted.split(".")):
            yield Layer(variable, nested(dotted, parse_value(environment[variable])))
        else:
            yield Fault("", f"the variable {variable} names no key", suggestion="for example AURL_TRAINING__LR")


def override_layers(overrides: Sequence[str]) -> Iterator[Layer | Fault]:
    """`--set training.lr=1e-3`."""
    for override in overrides:
        dotted, equals, value = override.partition("=")
        dotted = dotted.strip()
        if equals and all(dotted.split(".")):
            yield Layer(f"--set {dotted}", nested(dotted, parse_value(value.strip())))
        else:
            yield Fault("", f"--set {override} is not of the form KEY=VALUE", suggestion="for example training.lr=1e-3")


def flag_layer(flags: Mapping[str, Any]) -> Iterator[Layer]:
    """Values of command-line options by dotted key; None means that the option was not given."""
    for dotted, value in flags.items():
        if value is not None:
            yield Layer("command line", nested(dotted, value))

"""What a study is about: everything that decides which trials it makes, kept in its folder."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from aurl.errors import DamagedError, UsageError
from aurl.home import STUDY_MARK
from aurl.profile import Profile, read_resolved
from aurl.storage import read_json, read_toml, write_json, write_text
from aurl.tuning.space import Space

SCHEMA_VERSION = 1
PROFILE_NAME = "profile.toml"
Method = Literal["grid", "random", "tpe"]
Pruner = Literal["median", "hyperband", "none"]
Direction = Literal["minimize", "maximize"]
NOTES, BOUND = "valid/nats_per_note", "valid/elbo_per_note"
NEWS = "search"
"""Table of a study file that says what is searched."""


@dataclass(frozen=True)
class Plan:
    """What decides a study's trials.

    Args:
        search: dotted key → range or choices, as they were given.
        method: how values are chosen.
        pruner: how trials that promise little are ended early.
        metric: logged number that is compared, "" for the likelihood per note, with latents the bound's.
        direction: whether less or more of it is better.
        seed: of the choice of values.
        profiles: that the trials' profile extends; names, or paths that are absolute.
        overrides: `KEY=VALUE` for every trial.
        dataset: folder.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    search: dict[str, Any]
    method: Method = "tpe"
    pruner: Pruner = "median"
    metric: str = ""
    direction: Direction = "minimize"
    seed: int = 0
    profiles: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    dataset: str = ""

    def write(self, folder: Path, base: Profile) -> None:
        """Keep it in a new study folder, together with the profile of what is not searched."""
        write_text(folder / PROFILE_NAME, base.to_toml())
        write_json(folder / STUDY_MARK, {"schema_version": SCHEMA_VERSION, **asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> tuple["Plan", Profile]:
        """Inverse of `write`.

        Raises:
            DamagedError: the folder holds something else.
        """
        path = folder / STUDY_MARK
        content: Any = read_json(path)
        if not isinstance(content, dict) or content.pop("schema_version", None) != SCHEMA_VERSION:
            raise DamagedError(f"{path} is no study that this version knows")
        try:
            return _ADAPTER.validate_python(content), read_resolved(folder / PROFILE_NAME)
        except ValidationError as error:
            raise DamagedError(f"{path} is no study: {error.errors()[0]['msg']}") from error

    def space(self, base: Profile) -> Space:
        """What is searched, checked.

        Raises:
            ProfileError: every fault at once.
        """
        return Space.of(base, self.search, is_grid=self.method == "grid")

    def metric_of(self, profile: Profile) -> str:
        """The logged number by which a trial with this profile is compared."""
        return self.metric or (NOTES if profile.model.mode == "transformer" else BOUND)

    def check_same(self, other: "Plan", name: str) -> None:
        """Make sure that a study is gone on with as it was begun.

        Raises:
            UsageError: something is different.
        """
        for field in fields(self):
            before, now = getattr(self, field.name), getattr(other, field.name)
            if before != now:
                raise UsageError(
                    f"the study {name} was begun with another {field.name}: {before!r}, not {now!r}",
                    hint=f"go on with it as it is (aurl tune --name {name}), or choose another --name",
                )


def read_study_file(path: Path) -> dict[str, Any]:
    """A study as a person writes it: keys of `Plan` and bounds, and the table `search`, flat or nested.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is not TOML.
    """
    table = read_toml(path)
    search = table.get(NEWS, {})
    return table | ({NEWS: flat(search)} if isinstance(search, dict) else {})


def flat(table: dict[str, Any]) -> dict[str, Any]:
    """Dotted key → value, whether it was written in tables or with dots."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= {f"{key}.{rest}": inner for rest, inner in flat(value).items()}
        else:
            found[key] = value
    return found


def checked(values: dict[str, Any], source: str) -> Plan:
    """A plan from what was given.

    Raises:
        UsageError: a key or value is not possible; the message has it.
    """
    try:
        return _ADAPTER.validate_python(values)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        known = ", ".join(field.name for field in fields(Plan))
        unknown = fault["type"] == "unexpected_keyword_argument"
        message = f"unknown key, known: {known}" if unknown else fault["msg"]
        raise UsageError(f"{source}: {key}: {message}") from error


_ADAPTER = TypeAdapter(Plan)

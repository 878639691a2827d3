"""The data set that a command works with, and what it has settled."""

from pathlib import Path
from typing import TYPE_CHECKING

from aurl.cli.output import Output

if TYPE_CHECKING:
    from aurl.home import Home
    from aurl.profile import Profile


def find_dataset(output: Output, home: "Home", name: str | None) -> Path:
    """The data set that is named, or the latest, which is said."""
    folder = home.dataset(name)
    if name is None:
        output.note(f"data set: {folder.name}, the latest")
    return folder


def as_prepared(output: Output, profile: "Profile", dataset: Path) -> "Profile":
    """The profile with the sections that the data set has settled already."""
    from aurl.data.manifest import read_manifest
    from aurl.profile import Prepare, Tokens

    manifest = read_manifest(dataset)
    settled = {"prepare": Prepare.model_validate(manifest.prepare), "tokens": Tokens.model_validate(manifest.tokens)}
    changed = profile.model_copy(update=settled)
    before, after = profile.values(), changed.values()
    for key in (key for key in after if key.startswith("tokens.") and after[key] != before[key]):
        output.note(f"{key} = {after[key]}: the data set was prepared so")
    return changed

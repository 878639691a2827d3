"""Where data sets, runs and the cache live, and which of them is the latest."""

import os
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import platformdirs

from aurl.errors import NotFoundError, UsageError, did_you_mean
from aurl.storage import find_upwards, read_json, read_toml, write_text

HOME_VARIABLE = "AURL_HOME"
CACHE_VARIABLE = "AURL_CACHE"
PROJECT_FILE = "aurl.toml"
DATASET_MARK = "manifest.json"
SOURCES_NAME = "sources.json"
"""In a data set: what it was made from."""
RUN_MARK = "run.json"
STUDY_MARK = "study.json"
LATEST_NAME = ".latest"
MAX_NAME_LENGTH = 100
FORBIDDEN_IN_NAMES = frozenset('/\\:*?"<>|')
"""What some file system cannot store."""
FINISHED = "finished"


def cache_folder() -> Path:
    """Where whatever can be computed again is kept: `AURL_CACHE`, else the user's cache folder."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser().resolve()
    return platformdirs.user_cache_path("aurl")


@dataclass(frozen=True)
class Home:
    """A folder that holds `datasets/NAME/`, `runs/NAME/` and `studies/NAME/`; all are made when they are written to.

    Args:
        root: absolute.
    """

    root: Path

    @classmethod
    def locate(cls, start: Path | None = None) -> "Home":
        """`AURL_HOME`, else `home` in the `aurl.toml` nearest to `start`, else the user's data folder.

        Args:
            start: where to look for `aurl.toml`, here and upwards; the working folder by default.
        """
        if named := os.environ.get(HOME_VARIABLE):
            return cls(Path(named).expanduser().resolve())
        project = find_upwards(PROJECT_FILE, start or Path.cwd())
        home = read_toml(project).get("home") if project else None
        if project is None or home is None:
            return cls(platformdirs.user_data_path("aurl"))
        if not isinstance(home, str) or not home:
            raise UsageError(f"home in {project} is not a path", hint='write it as home = "path/to/folder"')
        return cls((project.parent / Path(home).expanduser()).resolve())

    @property
    def datasets(self) -> Path:
        """Folder of all data sets."""
        return self.root / "datasets"

    @property
    def runs(self) -> Path:
        """Folder of all runs."""
        return self.root / "runs"

    def dataset(self, name: str | None = None) -> Path:
        """An existing data set.

        Args:
            name: its name here or the path of its folder; None for the latest.

        Raises:
            NotFoundError: there is none; the message has the nearest names and the next step.
        """
        hint = "prepare one first: aurl prepare PATH…"
        return _find(self.datasets, name, mark=DATASET_MARK, what="data set", hint=hint)

    def list_datasets(self) -> list[Path]:
        """All data sets, in order of name; those among them that have lost their manifest."""
        marks = (DATASET_MARK, SOURCES_NAME)
        found = {path.parent for mark in marks for path in self.datasets.glob(f"*/{mark}")}
        return sorted(folder for folder in found if folder.name[0] != ".")

    def new_dataset(self, name: str) -> Path:
        """Where the data set `name` belongs, whether or not it is there already."""
        return self.datasets / check_name(name)

    def run(self, name: str | None = None, *, unfinished: bool = False) -> Path:
        """An existing run.

        Args:
            name: its name here or the path of its folder; None for the latest.
            unfinished: with no name, pass over the runs that have ended by themselves.

        Raises:
            NotFoundError: there is none; the message has the nearest names and the next step.
        """
        hint = "train one first: aurl train"
        if name is not None or not unfinished:
            return _find(self.runs, name, mark=RUN_MARK, what="run", hint=hint)
        for folder in _newest_first(self.runs, RUN_MARK):
            if read_json(folder / RUN_MARK).get("status") != FINISHED:
                return folder
        raise NotFoundError(f"there is no unfinished run in {self.runs}", hint="start a new one: aurl train")

    def new_run(self, name: str | None = None) -> Path:
        """Where a new run belongs; its default name is the date, the time and four random digits.

        Raises:
            UsageError: the name is taken.
        """
        name = _new_name() if name is None else name
        folder = self.runs / check_name(name)
        if folder.exists():
            hint = f"go on with it (aurl resume {name}), or choose another --name"
            raise UsageError(f"the run {name} exists already", hint=hint)
        return folder

    @property
    def studies(self) -> Path:
        """Folder of all studies."""
        return self.root / "studies"

    def study(self, name: str) -> Path:
        """An existing study, by its name here or the path of its folder.

        Raises:
            NotFoundError: there is none; the message has the nearest names and the next step.
        """
        return _find(self.studies, name, mark=STUDY_MARK, what="study", hint="begin one first: aurl tune --search …")

    def new_study(self, name: str | None = None) -> Path:
        """Where a study belongs, whether or not it is there already; its default name is like that of a run."""
        return self.studies / (_new_name() if name is None else check_name(name))

    def mark_latest(self, folder: Path) -> None:
        """Make `folder` the one that is taken when a command names none."""
        write_text(folder.parent / LATEST_NAME, folder.name + "\n")


def _new_name() -> str:
    return f"{datetime.now().astimezone():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(2)}"


def check_name(name: str) -> str:
    """`name`, if a folder may safely be called so.

    Raises:
        UsageError: it is empty, too long, hidden, or has a separator or an unprintable character.
    """
    if (
        not name
        or len(name) > MAX_NAME_LENGTH
        or name[0] == "."
        or not name.isprintable()
        or set(name) & set('/\\:*?"<>|')
    ):
        raise UsageError(
            f"{name!r} cannot be a name", hint=f"use up to {MAX_NAME_LENGTH} letters, digits, spaces, '-', '_' and '.'"
        )
    return name


def _newest_first(parent: Path, mark: str) -> list[Path]:
    """Folders that hold a `mark` file; the one marked as latest first, then by the mark's time, newest first."""
    found = [path for path in parent.glob(f"*/{mark}") if path.parent.name[0] != "."]
    latest = parent / LATEST_NAME
    pointed = latest.read_text(encoding="utf-8").strip() if latest.is_file() else ""
    found.sort(key=lambda path: (path.parent.name == pointed, path.stat().st_mtime_ns, path.parent.name), reverse=True)
    return [path.parent for path in found]


def _find(parent: Path, name: str | None, *, mark: str, what: str, hint: str) -> Path:
    known = _newest_first(parent, mark)
    if name is None:
        if not known:
            raise NotFoundError(f"there is no {what} in {parent}", hint=hint)
        return known[0]
    for folder in (parent / name, Path(name).expanduser()):
        if (folder / mark).is_file():
            return folder.resolve()
    if name and (parent / name).is_dir():
        raise NotFoundError(f"{parent / name} is no whole {what}: it has no {mark}", hint=hint)
    names = [folder.name for folder in known]
    raise NotFoundError(f"there is no {what} called {name!r}", hint=did_you_mean(name, names) or hint)

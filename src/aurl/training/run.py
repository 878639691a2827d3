"""A run folder: everything needed to repeat, resume, use and understand a run.

    profile.toml   the resolved profile        run.json      what it is and how it stands
    metrics.jsonl  numbers for machines        train.log     lines for people
    events.jsonl   see `events`
    checkpoints/   see `checkpoint`            samples/      pieces written while training

Only the main process writes to it, and only while it holds the lock.
"""

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import aurl
from aurl.errors import DamagedError, UsageError
from aurl.profile import Profile, read_resolved
from aurl.storage import read_json, write_json, write_text

SCHEMA_VERSION = 1
Status = Literal["new", "running", "interrupted", "finished", "failed"]
RUN_NAME, PROFILE_NAME = "run.json", "profile.toml"


@dataclass(frozen=True)
class Run:
    """A run on the disk.

    Args:
        folder: absolute.
    """

    folder: Path

    @property
    def metrics(self) -> Path:
        """One JSON object per line."""
        return self.folder / "metrics.jsonl"

    @property
    def events(self) -> Path:
        """What happened beside its numbers, one JSON object per line."""
        return self.folder / "events.jsonl"

    @property
    def log(self) -> Path:
        """Dated lines."""
        return self.folder / "train.log"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.folder / "checkpoints"

    @property
    def samples(self) -> Path:
        """Folder of pieces written while training."""
        return self.folder / "samples"

    @property
    def lock(self) -> Path:
        """Held while the run is trained."""
        return self.folder / ".lock"

    def facts(self) -> dict[str, Any]:
        """What `run.json` says.

        Raises:
            NotFoundError: the folder is no run.
            DamagedError: it cannot be read.
        """
        facts = read_json(self.folder / RUN_NAME)
        if not isinstance(facts, dict) or facts.get("schema_version") != SCHEMA_VERSION:
            raise DamagedError(f"{self.folder / RUN_NAME} has a schema that this version does not know")
        return facts

    def profile(self) -> Profile:
        """The profile that the run was started with."""
        return read_resolved(self.folder / PROFILE_NAME)

    def write_profile(self, profile: Profile) -> None:
        """Keep `profile` as the run's own."""
        write_text(self.folder / PROFILE_NAME, profile.to_toml())

    def update(self, **facts: Any) -> None:
        """Change or add facts of `run.json`; the time is noted."""
        write_json(self.folder / RUN_NAME, {**self.facts(), **facts, "updated": _now()})


def create_run(folder: Path, profile: Profile, dataset_folder: Path, **facts: Any) -> Run:
    """Make a run folder that training can start from.

    Raises:
        UsageError: the folder exists and is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(
            f"{folder} exists already", hint=f"go on with it (aurl resume {folder.name}), or choose another --name"
        )
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder.resolve())
    run.write_profile(profile)
    write_json(
        run.folder / RUN_NAME, {**_versions(), **facts, "dataset": str(dataset_folder.resolve()), "status": "new"}
    )
    return run


def _versions() -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "aurl": aurl.__version__,
        # Asked for without importing them: whoever only reads runs need not wait for torch.
        "torch": version("torch"),
        "accelerate": version("accelerate"),
        "python": platform.python_version(),
        "created": _now(),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

"""What a call of `prepare` did, for whoever shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Reject:
    """Files rejected for one reason, and the paths of some of them."""

    files: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Repair:
    """In how many pieces something was repaired, and how often in all."""

    pieces: int
    count: int


@dataclass(frozen=True, slots=True)
class SplitSize:
    """What one split holds."""

    pieces: int
    tokens: int
    notes: int


_COUNTS = ("files", "prepared", "pieces", "rejected", "duplicates", "notes", "tokens")


@dataclass(frozen=True, slots=True)
class PrepareResult:
    """A data set and the run that brought it up to date.

    After a whole run `files` = `prepared` + `rejected` + `duplicates` + `left_out`. After an interrupted or a dry run
    the data set is as it was before, and what could be told without touching it is in `files`, `new` and `removed`.

    Args:
        folder: the data set.
        files: found.
        prepared: files in the data set.
        pieces: that were made of them; more than one of a file if preprocessing divides it.
        rejected: files that could not be used.
        duplicates: files with the same bytes as another.
        left_out: near-duplicates of a file in the data set.
        new: contents that had to be encoded; in a dry run, files that would have to be read.
        reused: contents that an earlier run had finished.
        removed: contents that were in the data set and whose files are gone.
        notes: in all pieces.
        tokens: in all pieces.
        music_seconds: length of all pieces.
        seconds: that the run took.
        rejects: reason → files.
        repairs: name → how often.
        splits: split → size.
        unused_labels: paths in the file of labels that name no file, or none alone.
        interrupted: the run was asked to stop; the next one goes on.
        dry_run: nothing was read or written.
        unchanged: nothing had to be done.
        audit: what `audit.json` holds; empty after a dry or interrupted run.
    """

    folder: Path
    files: int
    prepared: int = 0
    pieces: int = 0
    rejected: int = 0
    duplicates: int = 0
    left_out: int = 0
    new: int = 0
    reused: int = 0
    removed: int = 0
    notes: int = 0
    tokens: int = 0
    music_seconds: float = 0.0
    seconds: float = 0.0
    rejects: Mapping[str, Reject] = field(default_factory=dict)
    repairs: Mapping[str, Repair] = field(default_factory=dict)
    splits: Mapping[str, SplitSize] = field(default_factory=dict)
    unused_labels: tuple[str, ...] = ()
    interrupted: bool = False
    dry_run: bool = False
    unchanged: bool = False
    audit: Mapping[str, Any] = field(default_factory=dict)


def from_audit(folder: Path, audit: Mapping[str, Any], **facts: Any) -> PrepareResult:
    """The result of a whole run, from the audit of the data set and facts of the run itself."""
    rejects = {reason: Reject(value["files"], tuple(value["examples"])) for reason, value in audit["rejects"].items()}
    return PrepareResult(
        folder=folder,
        **{name: audit[name] for name in _COUNTS},
        left_out=audit["near_duplicates"]["left_out"],
        music_seconds=audit["seconds"],
        rejects=rejects,
        repairs={name: Repair(**value) for name, value in audit["repairs"].items()},
        splits={name: SplitSize(**value) for name, value in audit["splits"].items()},
        audit=audit,
        **facts,
    )

"""Whether a data set is as it was written, file by file; nothing is changed."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from aurl.data import audit, index
from aurl.data.assignments import read_assignments
from aurl.data.cache.result import Damage, fault_in
from aurl.data.index import Index
from aurl.data.manifest import NAME, Manifest, ShardEntry, generation_of, read_manifest, shard_path
from aurl.data.prepare import LOCK
from aurl.data.shards import Shard
from aurl.errors import AurlError, DamagedError, LockedError, NotFoundError
from aurl.progress import Interrupts, Progress, Report, silent
from aurl.storage import lock, sha256_file

OF_THE_RUN = ("files", "rejected", "rejects", "duplicates")
"""What an audit tells of the files that are in no shard; all else can be counted again."""


@dataclass(frozen=True, slots=True)
class DatasetCheck:
    """What was found in a data set.

    Args:
        folder: of the data set.
        shards: that were read from end to end.
        damage: files that are not as they were written.
        lost: paths of files whose pieces have left the data set: damaged here, and gone where they came from.
        locked: why it could not be looked at, if another process was writing to it.
    """

    folder: Path
    shards: int
    damage: tuple[Damage, ...] = ()
    lost: tuple[str, ...] = ()
    locked: str = ""


@dataclass(slots=True)
class Findings:
    """A data set's manifest, None if it is of no use, and file → fault."""

    manifest: Manifest | None
    faults: dict[Path, str] = field(default_factory=dict)
    shards: int = 0


def verify_dataset(folder: Path, *, report: Report = silent, interrupts: Interrupts | None = None) -> DatasetCheck:
    """Check every file of the data set against what is known of it elsewhere.

    Args:
        folder: of the data set.
        report: told of every shard.
        interrupts: looked at between two shards; what was found until then is returned.
    """
    try:
        with lock(folder / LOCK):
            found = look(folder, report=report, interrupts=interrupts or Interrupts())
    except LockedError as error:
        return DatasetCheck(folder, 0, locked=error.message)
    return DatasetCheck(folder, found.shards, tuple(Damage(path, fault) for path, fault in found.faults.items()))


def look(folder: Path, *, report: Report, interrupts: Interrupts) -> Findings:
    """All faults; whoever calls holds the lock."""
    found = Findings(None)
    try:
        manifest = read_manifest(folder)
    except (NotFoundError, DamagedError) as error:
        found.faults[folder / NAME] = fault_in(folder / NAME, error)
        return found
    if generation_of(manifest.model_dump(mode="json")) != manifest.generation:
        found.faults[folder / NAME] = "its content does not match its checksum"
        return found
    found.manifest = manifest
    for entry in manifest.shards:
        if interrupts.stop is not None:
            return found
        if fault := _shard_fault(folder, entry):
            found.faults[shard_path(folder, entry.name)] = fault
        found.shards += 1
        report(Progress(f"verify {folder.name}", found.shards, len(manifest.shards), "shards"))
    for path, check in (
        (folder / manifest.assignments, _assignments_fault),
        (folder / index.NAME, _index_fault),
        (folder / audit.NAME, _audit_fault),
    ):
        if fault := check(folder, manifest, found):
            found.faults[path] = fault
    return found


def _shard_fault(folder: Path, entry: ShardEntry) -> str:
    path = shard_path(folder, entry.name)
    try:
        if sha256_file(path) != entry.sha256:
            return "its content does not match the manifest's checksum"
        shard = Shard(path)
    except FileNotFoundError:
        return "it is missing"
    except DamagedError as error:
        return fault_in(path, error)
    except OSError as error:
        return error.strerror or str(error)
    told = (len(shard), shard.record_count, len(shard.ids))
    return "" if told == (entry.pieces, entry.records, entry.tokens) else "the manifest tells something else of it"


def _assignments_fault(folder: Path, manifest: Manifest, found: Findings) -> str:
    try:
        read_assignments(folder, manifest.assignments)
    except DamagedError as error:
        return fault_in(folder / manifest.assignments, error)
    return ""


def _index_fault(folder: Path, manifest: Manifest, found: Findings) -> str:
    """What is wrong with the index in itself, or compared with the shards that are whole."""
    path = folder / index.NAME
    if not path.is_file():
        return "it is missing"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            (first,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            return str(first) if first != "ok" else _disagreement(folder, manifest, found, Index(connection))
    except (sqlite3.Error, TypeError, ValueError) as error:  # a damaged table may hold values of any type
        return str(error)


def _disagreement(folder: Path, manifest: Manifest, found: Findings, opened: Index) -> str:
    if not opened.about("generation"):
        return ""  # left by an interrupted run: nobody reads it, and the next run makes it again
    if opened.about("version") != str(index.VERSION) or opened.about("generation") != manifest.generation:
        return "it belongs to another state of the data set"
    for entry in manifest.shards:
        path = shard_path(folder, entry.name)
        if path not in found.faults and not opened.agrees(entry.name, Shard(path), removed=entry.removed):
            return f"it tells something else of the shard {entry.name}"
    try:
        agree = opened.assignments() == read_assignments(folder, manifest.assignments)
    except DamagedError:
        return ""  # the other file is at fault
    return "" if agree else f"it tells something else of splits and labels than {manifest.assignments}"


def _audit_fault(folder: Path, manifest: Manifest, found: Findings) -> str:
    """What is wrong with the audit, if all else is whole compared with one that is counted again."""
    try:
        told = audit.read(folder)
        if found.faults:
            return ""
        with Index.load(folder, manifest) as opened:
            counted = audit.audit(opened, folder, manifest.shards, files=0, refused=())
    except AurlError as error:
        return fault_in(folder / audit.NAME, error)
    except (TypeError, ValueError) as error:
        return str(error)
    other = [key for key, value in counted.items() if key not in OF_THE_RUN and told.get(key) != value]
    return f"its figures are wrong: {', '.join(other)}" if other else ""

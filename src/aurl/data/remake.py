"""The very files that a data set consists of, made once more: shards, index, assignments."""

import os
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from aurl.data import index
from aurl.data.assignments import Assignment, read_assignments, write_assignments
from aurl.data.cache import TokenCache
from aurl.data.encode import Recipe, ShardTask, Wanted, encode_shard
from aurl.data.index import Index
from aurl.data.manifest import SHARDS, Manifest, ShardEntry, shard_path
from aurl.data.shards import Shard
from aurl.data.workers.engine import open_engine
from aurl.errors import DamagedError
from aurl.progress import Interrupts
from aurl.storage import link_or_copy, sha256_file, sync_file, sync_folder


def from_cache(folder: Path, entry: ShardEntry, cache: TokenCache) -> bool:
    """Replace a shard by the cached one, if that is another file with the same bytes."""
    cached, path = cache.path(entry.name), shard_path(folder, entry.name)
    try:
        if (path.exists() and path.samefile(cached)) or sha256_file(cached) != entry.sha256:
            return False
        link_or_copy(cached, path)
    except OSError:
        return False
    return True


def from_sources(
    folder: Path,
    entries: Sequence[ShardEntry],
    manifest: Manifest,
    recipe: Recipe,
    *,
    jobs: int,
    interrupts: Interrupts,
) -> set[str]:
    """Encode the files of shards once more; returns the names of those that came out byte for byte as they were."""
    timeout_seconds, memory_mb = manifest.limits
    wanted = {entry.name: _wanted(folder, entry) for entry in entries}
    expected = {entry.name: entry.sha256 for entry in entries if wanted[entry.name]}
    made = set()
    with tempfile.TemporaryDirectory(prefix=".repair-", suffix=".tmp", dir=folder / SHARDS) as temporary:
        tasks = [ShardTask(name, wanted[name], recipe, temporary) for name in expected]
        with open_engine(
            jobs=jobs, folder=Path(temporary), timeout_seconds=timeout_seconds, memory_mb=memory_mb
        ) as engine:
            for task, written in engine.run(tasks, encode_shard, interrupts):
                if written.sha256 == expected[task.name]:
                    path = shard_path(folder, task.name)
                    sync_file(Path(temporary, path.name))
                    Path(temporary, path.name).replace(path)
                    sync_folder(path.parent)
                    made.add(task.name)
    return made


def _wanted(folder: Path, entry: ShardEntry) -> tuple[Wanted, ...]:
    """What went into a shard, in order, as the index tells, or else what can still be read of the shard itself."""
    for rows in (_rows_of_index(folder, entry), _rows_of_shard(folder, entry)):
        if len(rows) == entry.records:
            unique = {sha256: Wanted(source, sha256, size) for sha256, source, size in rows}
            return tuple(unique.values())
    return ()


def _rows_of_index(folder: Path, entry: ShardEntry) -> list[tuple[str, str, int]]:
    query = "SELECT sha256, source, file_bytes FROM pieces WHERE shard = ? ORDER BY row"
    path = (folder / index.NAME).resolve()
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute(query, (entry.name,)).fetchall()
            return [(sha256.hex(), os.fsdecode(source), int(size)) for sha256, source, size in rows]
    except (sqlite3.Error, AttributeError, TypeError, ValueError):  # a damaged table may hold values of any type
        return []


def _rows_of_shard(folder: Path, entry: ShardEntry) -> list[tuple[str, str, int]]:
    try:
        records = Shard(shard_path(folder, entry.name)).records()
        return [(record.sha256, record.source, record.file_bytes) for record in records]
    except DamagedError:
        return []


def remove_index(folder: Path) -> None:
    """Remove the index with its journal, which sqlite would take for that of the next one."""
    for suffix in ("", "-wal", "-shm"):
        (folder / (index.NAME + suffix)).unlink(missing_ok=True)


def remake_index(folder: Path, manifest: Manifest) -> bool:
    """Build the index anew from shards and assignments; the next `prepare` reads all files once more."""
    try:
        assignments = read_assignments(folder, manifest.assignments)
        remove_index(folder)
        with Index.open(folder) as opened:
            whole = opened.follow(folder, manifest)
            with opened.transaction():
                opened.set_assignments(assignments)
                opened.set_about(generation=manifest.generation)
    except DamagedError:
        return False
    return len(whole) == len(manifest.shards)


def remake_assignments(folder: Path, manifest: Manifest) -> bool:
    """Write the assignments as the index tells them, if that is what the manifest names."""
    told = assignments_of_index(folder)
    name = write_assignments(folder, told) if told else ""
    if name and name != manifest.assignments:
        (folder / name).unlink()
    return name == manifest.assignments


def assignments_of_index(folder: Path) -> list[Assignment]:
    """The assignments as the index tells them; none if it is of no use."""
    path = (folder / index.NAME).resolve()
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            return Index(connection).assignments()
    except (sqlite3.Error, AttributeError, TypeError, ValueError):  # a damaged table may hold values of any type
        return []

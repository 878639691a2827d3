"""The sqlite index over shards: what is where, quickly. It holds nothing that the shards and the manifest do not.

Only the listing of files (path, size, time → content) is its own: without it the next run reads every file once more to
find out that nothing has changed.
"""

import json
import logging
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from aurl.data.corpus import Source
from aurl.data.manifest import Manifest, ShardEntry, is_whole, shard_path
from aurl.data.records import Record
from aurl.data.shards import Shard
from aurl.data.splits import SPLITS, Split
from aurl.errors import DamagedError

NAME = "index.sqlite"
VERSION = 1

_TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, sha256 BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX files_by_content ON files (sha256);
CREATE TABLE pieces (
    sha256 BLOB PRIMARY KEY, shard TEXT NOT NULL, row INTEGER NOT NULL, live INTEGER NOT NULL, split TEXT NOT NULL,
    source BLOB NOT NULL, file_bytes INTEGER NOT NULL, reason TEXT NOT NULL,
    notes INTEGER NOT NULL, tokens INTEGER NOT NULL, header INTEGER NOT NULL, seconds REAL NOT NULL,
    tempo REAL NOT NULL, key TEXT NOT NULL, meter TEXT NOT NULL, instruments TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX pieces_by_place ON pieces (shard, row);
CREATE TABLE repairs (shard TEXT NOT NULL, row INTEGER NOT NULL, name TEXT NOT NULL, count INTEGER NOT NULL);
"""

Component = Mapping[str, Any]
logger = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where a content is: its shard, the row of its record there, the path it was read from, why it was rejected."""

    shard: str
    row: int
    source: str
    reason: str


class Pieces(NamedTuple):
    """Prepared pieces of one split in order of (shard, row), as columns.

    Args:
        shards: names.
        shard: position in `shards`.
        row: row in the shard.
        tokens: ids.
        header: ids of the header.
        notes: notes.
    """

    shards: tuple[str, ...]
    shard: NDArray[np.int32]
    row: NDArray[np.int32]
    tokens: NDArray[np.int64]
    header: NDArray[np.int32]
    notes: NDArray[np.int64]


class Index:
    """The index of one data set.

    Args:
        connection: of a database with the tables of this module.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The index in `folder` for writing, made anew (empty) where it is missing, damaged or of another version."""
        path = folder / NAME
        try:
            return cls._open(path)
        except sqlite3.DatabaseError as error:
            logger.warning("%s is unusable (%s) and is built again", path, error)
            for suffix in ("", "-wal", "-shm"):
                path.with_name(NAME + suffix).unlink(missing_ok=True)
            return cls._open(path)

    @classmethod
    def _open(cls, path: Path) -> Self:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            index = cls(connection)
            if not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                index._create()
            elif index.about("version") != str(VERSION):
                index._drop_all()
                index._create()
        except BaseException:
            connection.close()
            raise
        return index

    @classmethod
    def load(cls, folder: Path, manifest: Manifest) -> Self:
        """The index for reading; one that does not fit the manifest is rebuilt in memory, without a write to disk."""
        path = folder / NAME
        try:
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
            index = cls(connection)
            if index.about("version") == str(VERSION) and index.about("generation") == manifest.generation:
                return index
            connection.close()
        except sqlite3.DatabaseError as error:
            logger.warning("%s cannot be read (%s); its content is taken from the shards", path, error)
        index = cls(sqlite3.connect(":memory:", isolation_level=None))
        index._create()
        if len(index._rebuild(folder, manifest.shards, manifest.prepare["split"])) < len(manifest.shards):
            raise DamagedError(f"shards of {folder} are missing or damaged", hint="run aurl prepare again")
        return index

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _create(self) -> None:
        self.connection.executescript(_TABLES)
        self.set_about(version=str(VERSION), generation="")

    def _drop_all(self) -> None:
        for table in ("about", "files", "pieces", "repairs"):
            self.connection.execute(f"DROP TABLE IF EXISTS {table}")

    def about(self, key: str) -> str:
        """One of the index's own facts: "version", or "generation" of the manifest that it belongs to."""
        found = self.connection.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
        return str(found[0]) if found else ""

    def set_about(self, **facts: str) -> None:
        """Change facts."""
        self.connection.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", facts.items())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes in the block, or none."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def follow(self, folder: Path, manifest: Manifest | None, split: Component) -> list[ShardEntry]:
        """Make the index say what the data set is, before it is changed.

        Args:
            folder: of the data set.
            manifest: of the data set, None if there is none that is of use.
            split: how pieces are to be split from now on.

        Returns:
            The shards of the data set that are whole; what the others held is to be made again.
        """
        shards = [entry for entry in manifest.shards if is_whole(folder, entry)] if manifest else []
        known = (self.about("generation"), self.about("split"))
        if manifest and len(shards) == len(manifest.shards) and known == (manifest.generation, json.dumps(split)):
            return shards
        with self.transaction():
            return self._rebuild(folder, shards, split)

    def _rebuild(self, folder: Path, shards: Iterable[ShardEntry], split: Component) -> list[ShardEntry]:
        """Take everything but the listing of files from the shards; returns those that are whole."""
        for table in ("pieces", "repairs"):
            self.connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
        self.set_about(generation="", split=json.dumps(split))
        whole = []
        for entry in shards:
            try:
                shard = Shard(shard_path(folder, entry.name))
            except DamagedError as error:
                logger.warning("%s; its files are encoded again", error.message)
                continue
            self.add(entry.name, shard, SPLITS.from_component(split), removed=entry.removed)
            whole.append(entry)
        return whole

    def add(self, name: str, shard: Shard, split: Split, *, removed: Collection[int] = ()) -> None:
        """Take in all records of a shard; a content that is known elsewhere moves here unless its row is `removed`."""
        gone = frozenset(removed)
        rows = [(row, record, row not in gone) for row, record in enumerate(shard.records())]
        for live, verb in ((True, "REPLACE"), (False, "IGNORE")):
            values = [_columns(name, row, record, live, split) for row, record, is_live in rows if is_live == live]
            marks = ", ".join("?" * len(values[0])) if values else ""
            if values:
                self.connection.executemany(f"INSERT OR {verb} INTO pieces VALUES ({marks})", values)  # noqa: S608
        counts = [(name, row, repair, count) for row, record, _ in rows for repair, count in record.repairs.items()]
        self.connection.executemany("INSERT INTO repairs VALUES (?, ?, ?, ?)", counts)

    def drop(self, shards: Iterable[str]) -> None:
        """Forget everything that is in these shards."""
        names = [(name,) for name in shards]
        for table in ("pieces", "repairs"):
            self.connection.executemany(f"DELETE FROM {table} WHERE shard = ?", names)  # noqa: S608 - our own names

    def files(self) -> dict[str, tuple[int, int, bytes]]:
        """Path → (size, mtime_ns, SHA-256) of every file that was read."""
        rows = self.connection.execute("SELECT path, size, mtime_ns, sha256 FROM files")
        return {os.fsdecode(path): (size, mtime_ns, sha256) for path, size, mtime_ns, sha256 in rows}

    def set_files(self, files: Iterable[tuple[Source, bytes]]) -> None:
        """Replace the listing of files; a content is live while a file has it."""
        self.connection.execute("DELETE FROM files")
        self.connection.executemany(
            "INSERT INTO files VALUES (?, ?, ?, ?)",
            ((os.fsencode(source.path), source.size, source.mtime_ns, sha256) for source, sha256 in files),
        )
        self.connection.execute("UPDATE pieces SET live = sha256 IN (SELECT sha256 FROM files)")

    def places(self) -> dict[bytes, Place]:
        """SHA-256 → where its record is, live or not."""
        rows = self.connection.execute("SELECT sha256, shard, row, source, reason FROM pieces")
        return {sha256: Place(shard, row, os.fsdecode(source), reason) for sha256, shard, row, source, reason in rows}

    def live_rows(self) -> dict[str, set[int]]:
        """Shard → rows of its records that a file still has."""
        live: dict[str, set[int]] = {}
        for shard, row in self.connection.execute("SELECT shard, row FROM pieces WHERE live"):
            live.setdefault(shard, set()).add(row)
        return live

    def pieces(self, split: str) -> Pieces:
        """The prepared pieces of a split."""
        chosen = "FROM pieces WHERE live AND reason = '' AND split = ? ORDER BY shard, row"
        query = f"SELECT shard, row, tokens, header, notes {chosen}"
        rows = self.connection.execute(query, (split,)).fetchall()
        names, *columns = zip(*rows, strict=True) if rows else ((),) * 5
        shards = tuple(dict.fromkeys(names))
        position = {name: index for index, name in enumerate(shards)}
        row, tokens, header, notes = (np.array(column, np.int64) for column in columns)
        shard = np.array([position[name] for name in names], np.int32)
        return Pieces(shards, shard, row.astype(np.int32), tokens, header.astype(np.int32), notes)


def _columns(shard: str, row: int, record: Record, live: bool, split: Split) -> tuple[Any, ...]:
    source = os.fsencode(record.source)
    where = (bytes.fromhex(record.sha256), shard, row, live, split(record.sha256, record.source), source)
    size = (record.file_bytes, record.reason, record.notes, record.tokens, record.header, record.seconds)
    return (*where, *size, record.tempo, record.key, record.meter, json.dumps(record.instruments))

"""The sqlite index over shards: what is where, quickly. It holds nothing that the shards and the manifest do not.

Only the listing of files (path, size, time → content) is its own: without it the next run reads every file once more to
find out that nothing has changed.
"""

import json
import logging
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from aurl.data.assignments import Assignment, read_assignments
from aurl.data.inputs import Source
from aurl.data.manifest import Manifest, ShardEntry, is_whole, shard_path
from aurl.data.records import Record
from aurl.data.shards import Shard
from aurl.errors import DamagedError
from aurl.tokens.vocabulary import DRUM_PROGRAM

NAME = "index.sqlite"
VERSION = 2

_TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, sha256 BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX files_by_content ON files (sha256);
CREATE TABLE pieces (
    sha256 BLOB NOT NULL, segment INTEGER NOT NULL,
    shard TEXT NOT NULL, row INTEGER NOT NULL, live INTEGER NOT NULL,
    source BLOB NOT NULL, file_bytes INTEGER NOT NULL, reason TEXT NOT NULL,
    notes INTEGER NOT NULL, tokens INTEGER NOT NULL, header INTEGER NOT NULL, seconds REAL NOT NULL,
    tempo REAL NOT NULL, key TEXT NOT NULL, meter TEXT NOT NULL, instruments TEXT NOT NULL,
    polyphony REAL NOT NULL, complexity REAL NOT NULL,
    PRIMARY KEY (sha256, segment)
) WITHOUT ROWID;
CREATE INDEX pieces_by_place ON pieces (shard, row);
CREATE TABLE repairs (shard TEXT NOT NULL, row INTEGER NOT NULL, name TEXT NOT NULL, count INTEGER NOT NULL);
CREATE TABLE assignments (
    sha256 BLOB PRIMARY KEY, source BLOB NOT NULL, split TEXT NOT NULL, own TEXT NOT NULL,
    leader TEXT NOT NULL, served INTEGER NOT NULL, labels TEXT NOT NULL
) WITHOUT ROWID;
CREATE VIEW prepared AS
    SELECT pieces.*, split, leader, served, labels FROM pieces JOIN assignments USING (sha256)
    WHERE live AND reason = '';
CREATE VIEW served AS SELECT * FROM prepared WHERE served;
"""

logger = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where a content is: its shard, the first row of its records there and their number, and why it was rejected."""

    shard: str
    row: int
    records: int
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
        complexity: 0 to 1, see `aurl.data.complexity`.
        drums: whether nothing but a drum kit sounds.
    """

    shards: tuple[str, ...]
    shard: NDArray[np.int32]
    row: NDArray[np.int32]
    tokens: NDArray[np.int64]
    header: NDArray[np.int32]
    notes: NDArray[np.int64]
    complexity: NDArray[np.float32]
    drums: NDArray[np.bool_]


_PIECE_TYPES = (np.int32, np.int64, np.int32, np.int64, np.float32, np.bool_)
"""Of the columns of `Pieces` after the first two."""


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
        if len(index._rebuild(folder, manifest.shards)) < len(manifest.shards):
            raise DamagedError(f"shards of {folder} are missing or damaged", hint="run aurl prepare again")
        index.set_assignments(read_assignments(folder, manifest.assignments))
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
        for kind, name in self.connection.execute("SELECT type, name FROM sqlite_master WHERE sql > ''").fetchall():
            self.connection.execute(f'DROP {kind} IF EXISTS "{name}"')

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

    def follow(self, folder: Path, manifest: Manifest | None) -> list[ShardEntry]:
        """Make the index say what the data set is, before it is changed.

        Args:
            folder: of the data set.
            manifest: of the data set, None if there is none that is of use.

        Returns:
            The shards of the data set that are whole; what the others held is to be made again.
        """
        shards = [entry for entry in manifest.shards if is_whole(folder, entry)] if manifest else []
        if manifest and len(shards) == len(manifest.shards) and self.about("generation") == manifest.generation:
            return shards
        with self.transaction():
            return self._rebuild(folder, shards)

    def _rebuild(self, folder: Path, shards: Iterable[ShardEntry]) -> list[ShardEntry]:
        """Take pieces and repairs from the shards; returns those that are whole."""
        for table in ("pieces", "repairs", "assignments"):
            self.connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
        self.set_about(generation="")
        whole = []
        for entry in shards:
            try:
                shard = Shard(shard_path(folder, entry.name))
                shard.verify()  # no column takes what a flipped bit has made of a record
            except DamagedError as error:
                logger.warning("%s; its files are encoded again", error.message)
                continue
            self.add(entry.name, shard, removed=entry.removed)
            whole.append(entry)
        return whole

    def add(self, name: str, shard: Shard, *, removed: Collection[int] = ()) -> None:
        """Take in all records of a shard; a content that is known elsewhere moves here unless its row is `removed`."""
        gone = frozenset(removed)
        rows = [(row, record, row not in gone) for row, record in enumerate(shard.records())]
        for live, verb in ((True, "REPLACE"), (False, "IGNORE")):
            values = [_columns(name, row, record, live) for row, record, is_live in rows if is_live == live]
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
        """SHA-256 → where its records are, live or not."""
        query = "SELECT sha256, shard, MIN(row), COUNT(*), MIN(reason) FROM pieces GROUP BY sha256"
        return {sha256: Place(*place) for sha256, *place in self.connection.execute(query)}

    def contents(self) -> list[tuple[bytes, str, str, int]]:
        """(SHA-256, first path, shard, row) of every live content that was prepared, in order of (shard, row)."""
        query = (
            "SELECT sha256, path, shard, row FROM pieces"
            " JOIN (SELECT sha256, MIN(path) AS path FROM files GROUP BY sha256) USING (sha256)"
            " WHERE segment = 0 AND live AND reason = '' ORDER BY shard, row"
        )
        rows = self.connection.execute(query)
        return [(sha256, os.fsdecode(path), shard, row) for sha256, path, shard, row in rows]

    def set_assignments(self, assignments: Iterable[Assignment]) -> None:
        """Replace what `assignments` gives."""
        self.connection.execute("DELETE FROM assignments")
        self.connection.executemany(
            "INSERT INTO assignments VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (bytes.fromhex(one.sha256), os.fsencode(one.source), *one[2:6], json.dumps(dict(one.labels)))
                for one in assignments
            ),
        )

    def assignments(self) -> list[Assignment]:
        """What `set_assignments` was given, in order of content."""
        rows = self.connection.execute("SELECT * FROM assignments ORDER BY sha256")
        return [
            Assignment(sha256.hex(), os.fsdecode(source), split, own, leader, bool(served), json.loads(labels))
            for sha256, source, split, own, leader, served, labels in rows
        ]

    def agrees(self, name: str, shard: Shard, *, removed: Collection[int] = ()) -> bool:
        """Whether it tells of the shard what `add` would tell, as far as no other shard holds the same."""
        gone = frozenset(removed)
        rows = self.connection.execute("SELECT row, * FROM pieces WHERE shard = ?", (name,))
        told = {row: tuple(columns) for row, *columns in rows}
        for row, record in enumerate(shard.records()):
            if (row in told or row not in gone) and told.pop(row, ()) != _columns(name, row, record, row not in gone):
                return False
        return not told

    def live_rows(self) -> dict[str, set[int]]:
        """Shard → rows of its records that a file still has."""
        live: dict[str, set[int]] = {}
        for shard, row in self.connection.execute("SELECT shard, row FROM pieces WHERE live"):
            live.setdefault(shard, set()).add(row)
        return live

    def served_rows(self) -> dict[str, list[int]]:
        """Shard → rows of its pieces that models see, ascending."""
        rows: dict[str, list[int]] = {}
        for shard, row in self.connection.execute("SELECT shard, row FROM served ORDER BY shard, row"):
            rows.setdefault(shard, []).append(row)
        return rows

    def pieces(self, split: str) -> Pieces:
        """The pieces of a split that models see."""
        columns = "shard, row, tokens, header, notes, complexity, instruments = ?"
        query = f"SELECT {columns} FROM served WHERE split = ? ORDER BY shard, row"  # noqa: S608 - our own names
        rows = self.connection.execute(query, (json.dumps([DRUM_PROGRAM]), split)).fetchall()
        names, *found = zip(*rows, strict=True) if rows else ((),) * 7
        shards = tuple(dict.fromkeys(names))
        position = {name: index for index, name in enumerate(shards)}
        return Pieces(
            shards,
            np.array([position[name] for name in names], np.int32),
            *(np.array(column, dtype) for column, dtype in zip(found, _PIECE_TYPES, strict=True)),
        )

    def labels(self, split: str) -> list[dict[str, str]]:
        """Labels of the pieces of a split, in the order of `pieces`."""
        rows = self.connection.execute("SELECT labels FROM served WHERE split = ? ORDER BY shard, row", (split,))
        return [json.loads(labels) for (labels,) in rows]


def _columns(shard: str, row: int, record: Record, live: bool) -> tuple[Any, ...]:
    source = os.fsencode(record.source)
    where = (bytes.fromhex(record.sha256), record.segment, shard, row, live, source)
    size = (record.file_bytes, record.reason, record.notes, record.tokens, record.header, record.seconds)
    facts = (record.tempo, record.key, record.meter, json.dumps(record.instruments))
    return (*where, *size, *facts, record.polyphony, record.complexity)

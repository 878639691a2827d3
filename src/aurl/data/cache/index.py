"""The cache's sqlite index: which shard holds which contents, and in which order shards were used.

It holds nothing but hints: what it says is checked against the shard before the shard is handed out.
"""

import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

NAME = "index.sqlite"
VERSION = 1
BUSY_SECONDS = 60.0
"""How long one process waits while another writes: that is for one shard, or for all where the index is made again."""
OUTSIDE = frozenset(
    {
        *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR),
        *(sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM),
    }
)
"""Faults of the machine, which say nothing about the index."""
_PRIMARY_CODE = 0xFF

_TABLES = (
    """CREATE TABLE shards (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, signature TEXT NOT NULL,
        used INTEGER NOT NULL, used_at REAL NOT NULL
    )""",
    """CREATE TABLE contents (
        sha256 BLOB NOT NULL, shard INTEGER NOT NULL REFERENCES shards (id), PRIMARY KEY (sha256, shard)
    ) WITHOUT ROWID""",
    "CREATE INDEX contents_by_shard ON contents (shard)",
)
_USE = "used = (SELECT 1 + MAX(used) FROM shards), used_at = ?"
"""Order of use is counted: clocks go backwards. The time is only for show."""


class Facts(NamedTuple):
    """What is known of a shard: how it was made, and the SHA-256 of the contents that it can be taken for."""

    signature: str
    contents: frozenset[bytes]


def is_outside(error: sqlite3.Error) -> bool:
    """Whether the machine is at fault (a full disk, a lock), not the index itself."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & _PRIMARY_CODE in OUTSIDE


class CacheIndex:
    """The index of one cache; several processes may have it open.

    Args:
        path: of the database, made empty if need be.

    Attributes:
        is_built: whether it has its tables.

    Raises:
        sqlite3.DatabaseError: it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        # A damaged index may hold text that is none: it must not be a fault of another kind.
        self._connection.text_factory = lambda text: text.decode(errors="replace")
        try:
            prefer_wal(self._connection)
            self.is_built = self._version() == VERSION
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes in the block, or none; no other process writes meanwhile, nor moves files that go with it."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def build(self, shards: Iterable[tuple[str, Facts]]) -> None:
        """Make the tables and fill them, unless another process has done so in the meantime.

        Raises:
            sqlite3.DatabaseError: it is damaged, or has the tables of another version.
        """
        with self.transaction():
            if self._version() != VERSION:
                for table in _TABLES:
                    self._connection.execute(table)
                for name, facts in shards:
                    self.add(name, facts)
                self._connection.execute(f"PRAGMA user_version = {VERSION}")
        self.is_built = True

    def add(self, name: str, facts: Facts) -> None:
        """Take in a shard, or what has become of it, as the last one used."""
        self.drop([name])
        row = self._connection.execute("INSERT INTO shards VALUES (NULL, ?, ?, 0, 0)", (name, facts.signature))
        rows = ((sha256, row.lastrowid) for sha256 in facts.contents)
        self._connection.executemany("INSERT INTO contents VALUES (?, ?)", rows)
        self.mark(name)

    def mark(self, name: str) -> None:
        """Say that the shard is used now."""
        self._connection.execute(f"UPDATE shards SET {_USE} WHERE name = ?", (time.time(), name))  # noqa: S608 - our own text

    def drop(self, names: Iterable[str]) -> None:
        """Forget shards."""
        rows = [(name,) for name in names]
        query = "DELETE FROM contents WHERE shard = (SELECT id FROM shards WHERE name = ?)"
        self._connection.executemany(query, rows)
        self._connection.executemany("DELETE FROM shards WHERE name = ?", rows)

    def names(self) -> list[str]:
        """All shards, the longest unused first."""
        return [str(name) for (name,) in self._connection.execute("SELECT name FROM shards ORDER BY used, name")]

    def uses(self) -> dict[str, tuple[str, int, float]]:
        """Shard → (signature, contents, wall time of the last use); the longest unused first."""
        rows = self._connection.execute(
            "SELECT name, CAST(signature AS TEXT), (SELECT COUNT(*) FROM contents WHERE shard = id),"
            " CAST(used_at AS REAL)"
            " FROM shards ORDER BY used, name"
        )
        return {name: (signature, contents, used_at) for name, signature, contents, used_at in rows}

    def facts(self, name: str) -> Facts | None:
        """What is known of the shard."""
        row = self._connection.execute("SELECT id, signature FROM shards WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        rows = self._connection.execute("SELECT sha256 FROM contents WHERE shard = ?", row[:1])
        return Facts(row[1], frozenset(sha256 for (sha256,) in rows))

    def find(self, signature: str, contents: Collection[bytes]) -> dict[str, frozenset[bytes]]:
        """Shard with this signature → which of the contents it holds."""
        self._connection.execute("CREATE TEMP TABLE IF NOT EXISTS wanted (sha256 BLOB PRIMARY KEY) WITHOUT ROWID")
        self._connection.execute("BEGIN")
        try:
            rows = ((sha256,) for sha256 in contents)
            self._connection.executemany("INSERT OR IGNORE INTO wanted VALUES (?)", rows)
            query = (
                "SELECT CAST(name AS TEXT), sha256 FROM wanted CROSS JOIN contents USING (sha256)"
                " JOIN shards ON id = shard WHERE signature = ?"
            )
            held: dict[str, set[bytes]] = {}
            for name, sha256 in self._connection.execute(query, (signature,)):
                held.setdefault(name, set()).add(sha256)
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")  # empties the table, too
        return {name: frozenset(found) for name, found in sorted(held.items())}

    def faults(self) -> list[str]:
        """What sqlite finds wrong with the file; the first hundred faults."""
        try:
            found = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check")]
        except sqlite3.DatabaseError as error:
            return [str(error)]
        return [fault for fault in found if fault != "ok"]


def prefer_wal(connection: sqlite3.Connection) -> str:
    """Let readers and a writer work at the same time where the file system can; returns the journal's mode."""
    mode = str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
    connection.execute("PRAGMA synchronous = NORMAL")
    return mode

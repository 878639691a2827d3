"""The token cache: a folder of finished shards that data sets share by hard links.

A shard that a data set links costs the cache nothing, and removing it frees nothing: such shards are pinned, and do not
count against the size limit. Files are moved only inside a write transaction of the index, which keeps processes out
of each other's way; whoever removes or rebuilds holds the cache's lock, too. The shards are the truth: an index that is
missing or damaged is made again from them, and what is handed out has been read from end to end.
"""

import logging
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

from aurl.data.cache import upkeep
from aurl.data.cache.index import NAME, CacheIndex, is_outside
from aurl.data.cache.result import CacheCheck, CacheStats, Damage, Merged, Trimmed, fault_in
from aurl.data.cache.shelf import Shelf, facts_of, is_name, is_whole_shard, whole_shards
from aurl.data.manifest import SHARDS
from aurl.errors import AurlError, DamagedError, LockedError, NotFoundError
from aurl.progress import Interrupts, Progress, Report, silent
from aurl.storage import link_or_copy, lock

LOCK = ".lock"

logger = logging.getLogger(__name__)
R = TypeVar("R")


class TokenCache:
    """The cache in one folder; several processes may use it at once, each with an object of its own.

    Args:
        folder: made if need be.
        max_bytes: size to which `trim` brings what only the cache has.

    Raises:
        AurlError: the folder cannot be used.
        LockedError: another process is making its index again.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._holds_lock = False
        with self._said():
            self._shelf = Shelf(folder)
            try:
                self._index = self._open()
            except sqlite3.DatabaseError as error:
                self._index = self._made_again(error)

    def close(self) -> None:
        """Close the index."""
        self._index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def path(self, name: str) -> Path:
        """Where the shard is, if it is here."""
        return self._shelf.path(name)

    def find(self, signature: str, contents: Collection[bytes]) -> dict[str, frozenset[bytes]]:
        """Which shards of a recipe hold which of the wanted contents.

        The index is asked, and the shard has the last word: what is fetched has to be looked into. What was rejected
        for its cost or size is not found, because another run may have other limits.

        Args:
            signature: of the recipe.
            contents: SHA-256 of the wanted files.

        Returns:
            Name of a shard → those of the contents that it holds; one content may be in several.
        """
        found = self._use(lambda index: index.find(signature, contents))
        return {name: held for name, held in found.items() if is_name(name)}

    def fetch(self, name: str, into: Path) -> bool:
        """Put the shard into the folder `into`, by a hard link or else a copy, after reading it from end to end.

        A whole shard of that name that is there already stays. A cached one that is damaged leaves the cache.

        Returns:
            False if it is gone or damaged.
        """
        if not is_name(name):
            return False
        path, target = self.path(name), into / self.path(name).name
        if not is_whole_shard(path):
            self._use(lambda index: upkeep.drop(index, self._shelf, name))
            return False
        with self._said():
            if not is_whole_shard(target):
                try:
                    linked = link_or_copy(path, target)
                except FileNotFoundError:  # another process has trimmed the cache just now
                    return False
                if not linked and not is_whole_shard(target):
                    target.unlink()
                    return False
        self._use(lambda index: self._mark(index, name))
        return True

    def add(self, path: Path) -> None:
        """Take in a finished shard, by a hard link or else a copy; one that is known already counts as used.

        Raises:
            DamagedError: it is not whole.
            AurlError: it cannot be written.
        """
        facts = facts_of(path)
        self._use(lambda index: upkeep.take(index, self._shelf, path, facts))

    def trim(self) -> Trimmed:
        """Remove the longest unused shards until what only the cache has is no larger than `max_bytes`.

        Raises:
            LockedError: another process is doing so.
        """
        return self.prune(self.max_bytes)

    def prune(self, max_bytes: int) -> Trimmed:
        """`trim` to another size."""
        with self._locked():
            return self._use(lambda index: upkeep.prune(index, self._shelf, max_bytes))

    def clear(self) -> Trimmed:
        """Remove everything; data sets keep what they have."""
        with self._locked():
            return self._use(lambda index: upkeep.clear(index, self._shelf))

    def stats(self) -> CacheStats:
        """What the cache holds."""
        return self._use(lambda index: upkeep.stats(index, self._shelf, max_bytes=self.max_bytes))

    def verify(
        self, *, repair: bool = False, report: Report = silent, interrupts: Interrupts | None = None
    ) -> CacheCheck:
        """Read every shard from end to end, and compare the index with it.

        Args:
            repair: remove what is damaged, which can be computed again, and put the index right.
            report: told of every shard.
            interrupts: looked at between two shards; what was found until then is returned.

        Raises:
            LockedError: `repair`, and another process removes shards.
        """
        fault = next(iter(self._index.faults()), "")
        stopping = interrupts or Interrupts()

        def check(index: CacheIndex) -> CacheCheck:
            return upkeep.check(index, self._shelf, repair=repair, report=report, interrupts=stopping)

        if not repair:
            found = self._use(check)
        else:
            with self._locked():
                if fault:
                    self._replace_index(sqlite3.DatabaseError(fault))
                found = self._use(check)
                self._use(lambda index: upkeep.tidy(index, self._shelf))
        mended = "made again from the shards" if repair else ""
        damage = [Damage(self.folder / NAME, fault, mended)] if fault else []
        return CacheCheck(found.shards, (*damage, *found.damage))

    def merge(self, folder: Path, *, report: Report = silent) -> Merged:
        """Take in the shards of another cache, or of a data set.

        Args:
            folder: has a folder `shards`.
            report: told of every shard.

        Raises:
            NotFoundError: it has none.
            LockedError: another process removes shards.
        """
        if not (folder / SHARDS).is_dir():
            raise NotFoundError(f"{folder} has no folder {SHARDS}", hint="name a cache folder or a data set's folder")
        paths = Shelf(folder).paths()
        damage, known = [], 0
        with self._locked():
            for done, path in enumerate(paths, 1):
                here = is_whole_shard(self.path(path.stem))
                try:
                    self.add(path)
                    known += here
                except DamagedError as error:
                    damage.append(Damage(path, fault_in(path, error)))
                report(Progress("merge", done, len(paths), "shards"))
        return Merged(folder, len(paths) - known - len(damage), known, tuple(damage))

    def _open(self) -> CacheIndex:
        index = CacheIndex(self.folder / NAME)
        try:
            if not index.is_built:
                index.build((path.stem, facts) for path, facts in whole_shards(self._shelf))
        except BaseException:
            index.close()
            raise
        return index

    def _made_again(self, error: sqlite3.Error) -> CacheIndex:
        """A new index in place of one that is damaged."""
        if is_outside(error):
            raise error
        logger.warning("%s is unusable (%s) and is made again from the shards", self.folder / NAME, error)
        with self._locked():
            for suffix in ("", "-wal", "-shm", "-journal"):
                self.folder.joinpath(NAME + suffix).unlink(missing_ok=True)
            return self._open()

    def _replace_index(self, error: sqlite3.Error) -> None:
        self._index.close()
        self._index = self._made_again(error)

    def _mark(self, index: CacheIndex, name: str) -> None:
        with index.transaction():
            index.mark(name)

    def _use(self, work: Callable[[CacheIndex], R]) -> R:
        """Do something with the index; where that turns out to be damaged, make it again first."""
        with self._said():
            try:
                return work(self._index)
            except sqlite3.DatabaseError as error:
                if is_outside(error):
                    raise
                self._replace_index(error)
                return work(self._index)

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Faults of the disk and of sqlite as errors of ours."""
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise LockedError(f"{self.folder} is in use by another process", hint="try again later") from error
            message = f"the cache {self.folder} cannot be used: {error}"
            raise AurlError(message, hint="make room, or set AURL_CACHE to another folder") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock, once however often it is asked for."""
        if self._holds_lock:
            yield
            return
        with lock(self.folder / LOCK):
            self._holds_lock = True
            try:
                yield
            finally:
                self._holds_lock = False

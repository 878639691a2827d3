"""Local copies of what cannot be read where it is: remote files, and compressed tars made plain.

A copy is named by a hash of its location and one of its version, and is written whole or not at all. Copies are never
needed: whoever misses one makes it again. That is what allows them to be cleared at any time.
"""

import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from filelock import FileLock

from aurl.home import cache_folder
from aurl.storage import atomic_write

SPOOL_BYTES = 16 * 2**30
"""The largest collections of MIDI files have 7 GiB unpacked."""
MAX_AGE_SECONDS = 30 * 24 * 3600
TRIM_PARTS = 16
"""A process looks over the spool when it has written this part of what the spool may hold."""
TRIM_SECONDS = 24 * 3600
"""Somebody looks over it this often, however little is written."""
_LOCATION_DIGITS = 40
_VERSION_DIGITS = 24
_SHELF_DIGITS = 2
_LOCK = ".lock"
_TRIMMED = ".trimmed"

logger = logging.getLogger(__name__)


def default_spool() -> Path:
    """Where copies are kept when nobody says otherwise."""
    return cache_folder() / "inputs"


class _Copy(NamedTuple):
    used: float
    size: int
    path: Path


class Spool:
    """A folder of copies; several processes and threads may use it at once.

    Args:
        folder: made when something is written.
        max_bytes: of all copies together, and so of one.
    """

    def __init__(self, folder: Path, *, max_bytes: int = SPOOL_BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._written = 0

    def held(self, location: str, version: str = "") -> Path | None:
        """The copy of `location`, of whatever version if none is named; it counts as used."""
        folder = self._place(location)
        names = [_digest(version, _VERSION_DIGITS)] if version else _names(folder)
        for name in names:
            path = folder / name
            with contextlib.suppress(OSError):
                changed_ns = path.stat().st_mtime_ns
                os.utime(path, ns=(time.time_ns(), changed_ns))
                return path
        return None

    def keep(self, location: str, version: str, fill: Callable[[IO[bytes]], None]) -> Path:
        """Make the copy, unless another process is quicker; copies of other versions go.

        Args:
            location: of what is copied.
            version: changes whenever that does.
            fill: writes the copy; what it raises leaves nothing behind.
        """
        with self._lock(location):
            if found := self.held(location, version):
                return found
            self.forget(location)
            path = self._place(location) / _digest(version, _VERSION_DIGITS)
            with atomic_write(path) as file:  # what is cut by the death of the machine would pass for the real thing
                fill(file)
        self._written += path.stat().st_size
        if self._written > self.max_bytes // TRIM_PARTS:
            self.trim()
        return path

    def forget(self, location: str, *, but: str = "") -> None:
        """Delete the copies of `location`, except that of version `but`."""
        folder = self._place(location)
        for name in _names(folder):
            if not but or name != _digest(but, _VERSION_DIGITS):
                (folder / name).unlink(missing_ok=True)

    def tidy(self) -> None:
        """`trim`, if nobody has done it for a day and it can be done."""
        try:
            with contextlib.suppress(FileNotFoundError):  # never trimmed
                if (self.folder / _TRIMMED).stat().st_mtime > time.time() - TRIM_SECONDS:
                    return
            self.trim()
        except OSError as error:
            logger.warning("copies of inputs cannot be cleared: %s", error)

    def trim(self) -> None:
        """Delete copies that nobody has used for long, then the longest unused, until the rest fits."""
        if not self.folder.is_dir():
            return
        self._written = 0
        (self.folder / _TRIMMED).touch()
        copies = sorted(self._copies(), reverse=True)
        oldest, total = time.time() - MAX_AGE_SECONDS, 0
        for copy in copies:
            total += copy.size
            if total > self.max_bytes or copy.used < oldest:
                self._clear(copy.path)

    def _clear(self, path: Path) -> None:
        with FileLock(path.parent.parent / _LOCK), contextlib.suppress(OSError):  # deleted by others, in use on Windows
            path.unlink()
            logger.debug("copy cleared: %s", path)
            path.parent.rmdir()

    def _copies(self) -> Iterator[_Copy]:
        """All of them, and what killed processes left of theirs; nothing else that may be in the folder."""
        for path in self.folder.glob(f"{'?' * _SHELF_DIGITS}/{'?' * _LOCATION_DIGITS}/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                yield _Copy(status.st_atime, status.st_size, path)

    def _place(self, location: str) -> Path:
        digest = _digest(location, _LOCATION_DIGITS)
        return self.folder / digest[:_SHELF_DIGITS] / digest

    def _lock(self, location: str) -> FileLock:
        """One for many locations, so that there are never more lock files than shelves."""
        shelf = self._place(location).parent
        shelf.mkdir(parents=True, exist_ok=True)
        return FileLock(shelf / _LOCK)


def _names(folder: Path) -> list[str]:
    """Finished copies in the folder of one location."""
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]  # noqa: PTH208 - names are wanted
    except OSError:
        return []


def _digest(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]

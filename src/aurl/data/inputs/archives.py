"""Zip and tar archives by their members' names, whatever they are packed with."""

import os
from functools import lru_cache, partial
from typing import NamedTuple

from aurl.data.inputs import tars, zips
from aurl.data.inputs.members import Listing, Places, listed
from aurl.data.inputs.names import GZIP, name_of
from aurl.data.inputs.packed_tars import compression, repack
from aurl.data.inputs.spool import Spool
from aurl.data.inputs.streams import gunzip
from aurl.midi.reasons import Rejected, RejectReason

KEPT_OPEN = 8
"""Archives whose places a process remembers: threads read files in order of path, so few are in use at a time."""


class Archive(NamedTuple):
    """An archive that members can be read from. It holds no open file, so threads and forks may share it.

    Args:
        path: of the zip or plain tar on this machine.
        zipped: whether it is a zip.
        shift: bytes that were put before the zip.
        places: of its members.
    """

    path: str
    zipped: bool
    shift: int
    places: Places

    def read(self, name: str, limit: int) -> bytes | None:
        """At most `limit` bytes of the member, unpacked if gzip has packed it; None if there is none.

        Raises:
            Rejected: it is damaged.
            OSError: the archive cannot be read.
        """
        place = self.places.find(name)
        if place is None:
            return None
        data = self._read(place, limit)
        if not name.lower().endswith(GZIP):
            return data
        pending = [data]
        return gunzip(lambda _: pending.pop() if pending else b"", limit)

    def _read(self, place: tuple[int, int], limit: int) -> bytes:
        start, size = place
        with open(self.path, "rb") as file:  # noqa: PTH123 - thousands per second
            if self.zipped:
                return zips.read(file, start, self.shift, limit)
            file.seek(start)
            data = file.read(min(size, limit))
        if len(data) < min(size, limit):
            raise Rejected(RejectReason.DAMAGED_ARCHIVE, "it ends too early")
        return data


def list_archive(location: str, local: str, spool: Spool) -> Listing:
    """All members that matter.

    Args:
        location: path or URL, which tells the kind.
        local: where it is on this machine.
        spool: for compressed tars.

    Raises:
        Rejected: nothing of it can be used.
        OSError: it cannot be read, or the spool not be written.
    """
    try:
        path = _plain(location, local, spool)
        with open(path, "rb") as file:  # noqa: PTH123 - as everywhere here
            return listed(zips.members(file) if _is_zip(location) else tars.members(tars.FileStream(file)))
    except Rejected as error:
        return Listing([], error)


def open_archive(location: str, local: str, spool: Spool) -> Archive:
    """The archive, listed once for as long as it does not change; arguments and errors as for `list_archive`."""
    status = os.stat(local)  # noqa: PTH116 - thousands per second
    return _opened(location, local, status.st_size, status.st_mtime_ns, spool)


def forget_archives() -> None:
    """List them again when they are next read."""
    _opened.cache_clear()


@lru_cache(KEPT_OPEN)
def _opened(location: str, local: str, _size: int, _mtime_ns: int, spool: Spool) -> Archive:
    zipped = _is_zip(location)
    path = _plain(location, local, spool)
    with open(path, "rb") as file:  # noqa: PTH123
        members = listed(zips.members(file) if zipped else tars.members(tars.FileStream(file))).members
        shift = zips.directory(file).shift if zipped else 0
    return Archive(path, zipped, shift, Places(members))


def _is_zip(location: str) -> bool:
    return name_of(location).endswith(".zip")


def _plain(location: str, local: str, spool: Spool) -> str:
    """The zip or tar itself, or the plain tar that a compressed one becomes."""
    if _is_zip(location):
        return local
    with open(local, "rb") as file:  # noqa: PTH123
        magic = compression(file)
        if not magic:
            return local
        status = os.fstat(file.fileno())
        version = f"{status.st_size} {status.st_mtime_ns}"
        fill = partial(repack, file, magic, max_bytes=spool.max_bytes)
        return str(spool.keep(local, version, fill))

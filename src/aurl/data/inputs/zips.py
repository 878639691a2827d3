"""Zip archives: the central directory, and members read straight from where it says they are.

Python's `zipfile` is not used for reading, because it holds an object for everything that a directory claims before
anybody can count, and refuses a whole archive for one name that is not UTF-8.
"""

import bz2
import io
import stat
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from aurl.data.inputs.members import BOMB_FLOOR_BYTES, BOMB_RATIO, Member, nested, wanted
from aurl.data.inputs.streams import CHUNK_BYTES, Inflate, Read, take, unpacked, window
from aurl.midi.reasons import Rejected, RejectReason

MAX_DIRECTORY_BYTES = 2**28
"""Room for the most members there may be, with long names."""
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LENGTHS_AT = 28
"""Where an entry has the lengths of its name, extra fields and comment."""
_LOCAL = struct.Struct("<4s22x2H")
_MAX_COMMENT = 2**16 - 1
MAX_OFFSET = 2**63 - 1
_WIDE = 0xFFFFFFFF
"""Stands where a 64-bit number follows elsewhere."""
_WIDE_FIELD = 1
_ENCRYPTED, _UTF8 = 0x1, 0x800
_UNIX = 3
_STORED, _DEFLATED, _BZIP2, _AES = 0, 8, 12, 99
_METHODS = (_STORED, _DEFLATED, _BZIP2)


class _Entry(NamedTuple):
    """One entry of the central directory.

    Args:
        name: of the member.
        length: bytes of the entry.
        flags: bit field.
        method: of compression.
        crc: CRC-32 of the member.
        packed: bytes in the archive.
        size: bytes unpacked.
        offset: where its local header is, counted from the archive's own start.
        mode: Unix type and permissions, 0 if unknown.
    """

    name: str
    length: int
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int


class Directory(NamedTuple):
    """Where the central directory is.

    Args:
        start: of its first entry.
        length: bytes.
        shift: bytes that were put before the archive.
    """

    start: int
    length: int
    shift: int


def members(file: BinaryIO) -> Iterator[Member]:
    """Members that matter; `start` is where the entry in the central directory is.

    Raises:
        Rejected: the archive is damaged from here on, or made to unpack to far too much.
    """
    start, length, _ = directory(file)
    archive_bytes = file.seek(0, io.SEEK_END)
    file.seek(start)
    entries = file.read(length)
    at = promised = 0
    while at < length:
        entry = _entry(entries, at)
        if wanted(entry.name):
            promised += entry.size
            if promised > max(BOMB_FLOOR_BYTES, BOMB_RATIO * archive_bytes):
                raise Rejected(RejectReason.ARCHIVE_BOMB, f"unpacks to more than {BOMB_RATIO} times its size")
            yield _member(entry, start + at)
        at += entry.length


def read(file: BinaryIO, start: int, shift: int, limit: int) -> bytes:
    """At most `limit` bytes of the member whose entry is at `start`.

    Raises:
        Rejected: they are not what the entry says.
    """
    entry = _entry_at(file, start)
    file.seek(min(entry.offset + shift, MAX_OFFSET))
    local = file.read(_LOCAL.size)
    if len(local) < _LOCAL.size or local[:4] != b"PK\3\4":
        raise _damaged("the member is not where the directory says")
    _, name_length, extra_length = _LOCAL.unpack(local)
    file.seek(name_length + extra_length, io.SEEK_CUR)
    data = take(_decoded(window(file.read, entry.packed), entry.method), min(limit, entry.size + 1))
    if len(data) > entry.size:
        raise _damaged("the member is larger than the directory says")
    if len(data) < min(limit, entry.size):
        raise _damaged("the member is smaller than the directory says")
    if len(data) == entry.size and zlib.crc32(data) != entry.crc:
        raise _damaged("the member's checksum does not match")
    return data


def directory(file: BinaryIO) -> Directory:
    """Find the central directory from the end of the file.

    Raises:
        Rejected: there is none that could be right.
    """
    size = file.seek(0, io.SEEK_END)
    tail_start = max(size - _END.size - _MAX_COMMENT, 0)
    file.seek(tail_start)
    tail = file.read()
    at = tail.rfind(b"PK\5\6", 0, max(len(tail) - _END.size + 4, 0))
    if at < 0:
        raise _damaged("no zip archive, or one that ends too early")
    _, disk, first_disk, _, _, length, offset, _ = _END.unpack_from(tail, at)
    end = tail_start + at
    if wide := _wide_end(file, end):
        end, disk, first_disk, length, offset = wide
    if disk != first_disk:
        raise Rejected(RejectReason.UNSUPPORTED_ARCHIVE, "one of several volumes")
    if length > MAX_DIRECTORY_BYTES:
        raise Rejected(RejectReason.ARCHIVE_TOO_LARGE, f"a directory of {length:,} bytes")
    if end - length < offset:
        raise _damaged("its directory is not where it says")
    return Directory(end - length, length, end - length - offset)


def _wide_end(file: BinaryIO, end: int) -> tuple[int, int, int, int, int] | None:
    """(where it is, disk, first disk, length, offset) of the 64-bit record before the one at `end`, if there is one."""
    start = end - _LOCATOR64.size - _END64.size
    if start < 0:
        return None
    file.seek(start)
    record, locator = file.read(_END64.size), file.read(_LOCATOR64.size)
    if record[:4] != b"PK\6\6" or locator[:4] != b"PK\6\7":
        return None
    _, _, _, _, disk, first_disk, _, _, length, offset = _END64.unpack(record)
    return start, disk, first_disk, length, offset


def _entry_at(file: BinaryIO, start: int) -> _Entry:
    file.seek(start)
    fixed = file.read(_ENTRY.size)
    variable = sum(struct.unpack_from("<3H", fixed, _LENGTHS_AT)) if len(fixed) == _ENTRY.size else 0
    return _entry(fixed + file.read(variable), 0)


def _entry(entries: bytes, at: int) -> _Entry:
    if len(entries) - at < _ENTRY.size or entries[at : at + 4] != b"PK\1\2":
        raise _damaged("its directory ends too early")
    fields = _ENTRY.unpack_from(entries, at)
    _, made_by, _, flags, method, _, _, crc, packed, size, n_name, n_extra, n_comment, _, _, attributes, offset = fields
    name_start = at + _ENTRY.size
    name = entries[name_start : name_start + n_name]
    if _WIDE in (packed, size, offset):
        extra = entries[name_start + n_name : name_start + n_name + n_extra]
        size, packed, offset = _wide_fields(extra, (size, packed, offset))
    mode = attributes >> 16 if made_by >> 8 == _UNIX else 0
    length = _ENTRY.size + n_name + n_extra + n_comment
    return _Entry(_decode(name, flags), length, flags, method, crc, packed, size, offset, mode)


def _decode(name: bytes, flags: int) -> str:
    text = name.decode("utf-8", "surrogateescape") if flags & _UTF8 else name.decode("cp437")
    return text.split("\0", 1)[0]


def _wide_fields(extra: bytes, narrow: tuple[int, int, int]) -> tuple[int, int, int]:
    """(size, packed, offset), those that are too small for their number taken from the 64-bit field, in this order."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == _WIDE_FIELD:
            numbers = iter(struct.unpack_from(f"<{min(length, len(extra) - at - 4) // 8}Q", extra, at + 4))
            size, packed, offset = (next(numbers, -1) if value == _WIDE else value for value in narrow)
            if 0 <= min(size, packed, offset) <= max(size, packed, offset) <= MAX_OFFSET:
                return size, packed, offset
        at += 4 + length
    raise _damaged("its directory holds no number where one must be")


def _member(entry: _Entry, start: int) -> Member:
    member = Member(entry.name, start, entry.size)
    if nested(entry.name):
        return member._replace(reason=RejectReason.NESTED_ARCHIVE, fault="an archive in an archive is not opened")
    if entry.flags & _ENCRYPTED or entry.method == _AES:
        return member._replace(reason=RejectReason.ENCRYPTED, fault="it is encrypted")
    if stat.S_IFMT(entry.mode) not in (0, stat.S_IFREG):
        return member._replace(reason=RejectReason.NOT_A_FILE, fault="a symbolic link or a device")
    if entry.method not in _METHODS:
        fault = f"packed by method {entry.method}, neither deflate nor bzip2"
        return member._replace(reason=RejectReason.UNSUPPORTED_ARCHIVE, fault=fault)
    return member


def _decoded(packed: Read, method: int) -> Iterator[bytes]:
    if method == _STORED:
        return iter(lambda: packed(CHUNK_BYTES), b"")
    return unpacked(packed, bz2.BZ2Decompressor if method == _BZIP2 else Inflate)


def _damaged(fault: str) -> Rejected:
    return Rejected(RejectReason.DAMAGED_ARCHIVE, fault)

"""Tar archives, read from front to back with nothing believed that has not been checked.

ustar, GNU and pax headers; sparse members are refused. Python's `tarfile` is not used for reading, because it takes
the memory that a header asks for: a few kilobytes of gzip can make that gigabytes.
"""

import io
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, Protocol

from aurl.data.inputs.members import MAX_NAME_BYTES, Member, nested, wanted
from aurl.midi.reasons import Rejected, RejectReason

BLOCK = 512
MAX_PAX_BYTES = 2**20
"""Headers of one member; most have less than a kilobyte."""
_FILES = b"07\0"
_WITHOUT_DATA = b"123456"
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL, _SPARSE = b"L", b"K", b"xX", b"g", b"S"
_CHECKSUM = slice(148, 156)
_ZEROS = bytes(BLOCK)
_BASE_256 = 0x80


class Stream(Protocol):
    """What tars are read from."""

    def read(self, size: int, /) -> bytes:
        """So many bytes; fewer only at the end."""

    def skip(self, size: int, /) -> None:
        """Pass over so many bytes."""

    def tell(self) -> int:
        """Bytes read or passed over."""


class FileStream:
    """A file that can be sought in.

    Args:
        file: at its start.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        self._at = file.seek(0)

    def tell(self) -> int:
        """Bytes read or passed over."""
        return self._at

    def read(self, size: int, /) -> bytes:
        """So many bytes; fewer only at the end."""
        data = self._file.read(size)
        self._at += len(data)
        return data

    def skip(self, size: int, /) -> None:
        """Pass over so many bytes.

        Raises:
            Rejected: there are fewer.
        """
        if self._at + size > self._size:
            raise _damaged("it ends too early")
        self._at = self._file.seek(self._at + size)


class Header(NamedTuple):
    """One member's header, the long ones before it taken in.

    Args:
        name: in UTF-8; what is none is escaped as Python escapes file names.
        kind: tar's one-byte type.
        size: bytes that follow.
        sparse: those bytes are not the file itself.
    """

    name: str
    kind: bytes
    size: int
    sparse: bool = False

    @property
    def is_file(self) -> bool:
        """Whether it is an ordinary file."""
        return self.kind in _FILES and not (self.kind == b"\0" and self.name.endswith("/"))


def headers(stream: Stream) -> Iterator[Header]:
    """Every member's header. Behind it the stream stands at the data, of which the caller may read whatever it likes.

    Raises:
        Rejected: the archive is damaged from here on.
    """
    long_name, pax = "", dict[str, str]()
    while (block := stream.read(BLOCK)) and block != _ZEROS:
        kind, size = block[156:157], _checked_size(block)
        if kind == _LONG_NAME:
            long_name = _text(_data(stream, size, MAX_NAME_BYTES))
        elif kind in _PAX:
            pax = _pax(_data(stream, size, MAX_PAX_BYTES))
        elif kind in (_LONG_LINK, _PAX_GLOBAL):
            stream.skip(_padded(size))
        else:
            header = _header(block, kind, size, long_name, pax)
            if header.kind == _SPARSE:
                _skip_sparse_maps(stream, block)
            stop = stream.tell() + _padded(header.size)
            yield header
            stream.skip(stop - stream.tell())
            long_name, pax = "", {}


def members(stream: Stream) -> Iterator[Member]:
    """Members that matter; `start` is where the data begin.

    Raises:
        Rejected: the archive is damaged from here on.
    """
    for header in headers(stream):
        start = stream.tell()
        stream.skip(header.size)
        if wanted(header.name) and (member := _member(header, start)):
            yield member


def _member(header: Header, start: int) -> Member | None:
    if header.kind == b"5":
        return None
    member = Member(header.name, start, header.size)
    if nested(header.name):
        return member._replace(reason=RejectReason.NESTED_ARCHIVE, fault="an archive in an archive is not opened")
    if header.sparse or header.kind == _SPARSE:
        return member._replace(reason=RejectReason.UNSUPPORTED_ARCHIVE, fault="it is stored as a sparse file")
    if not header.is_file:
        return member._replace(reason=RejectReason.NOT_A_FILE, fault=_KINDS.get(header.kind, "not an ordinary file"))
    return member


_KINDS = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a named pipe"}


def _header(block: bytes, kind: bytes, size: int, long_name: str, pax: dict[str, str]) -> Header:
    name = pax.get("path") or long_name
    if not name:
        name = _text(block[:100])
        if block[257:263] == b"ustar\0" and block[345]:
            name = f"{_text(block[345:500])}/{name}"
    if "size" in pax:
        size = _decimal(pax["size"])
    sparse = any(key.startswith("GNU.sparse.") for key in pax)
    name = pax.get("GNU.sparse.name", name) if sparse else name
    return Header(name.removeprefix("./"), kind, 0 if kind in _WITHOUT_DATA else size, sparse)


def _checked_size(block: bytes) -> int:
    if len(block) < BLOCK:
        raise _damaged("it ends too early")
    expected = _number(block[_CHECKSUM])
    found = sum(block) - sum(block[_CHECKSUM]) + 8 * ord(" ")
    if expected != found and expected != _signed(block, found):
        raise _damaged("a header's checksum does not match")
    return _number(block[124:136])


def _signed(block: bytes, checksum: int) -> int:
    """The checksum as old programs reckon it, over signed bytes."""
    return checksum - 256 * sum(byte > 127 for byte in block[: _CHECKSUM.start] + block[_CHECKSUM.stop :])


def _number(field: bytes) -> int:
    """Octal digits, or binary where those would not do."""
    if field[0] == _BASE_256:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip() or b"0"
    if not digits.isdigit():
        raise _damaged("a header holds no number where one must be")
    try:
        return int(digits, 8)
    except ValueError as error:
        raise _damaged("a header holds no number where one must be") from error


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise _damaged("a header holds no number where one must be")
    return int(text)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode(errors="surrogateescape")


def _data(stream: Stream, size: int, most: int) -> bytes:
    """Data of a header that describes the next one."""
    if size > most:
        raise _damaged(f"a header of {size:,} bytes")
    data = stream.read(_padded(size))
    if len(data) < size:
        raise _damaged("it ends too early")
    return data[:size]


def _pax(data: bytes) -> dict[str, str]:
    """Records of the form `LENGTH KEY=VALUE` and a line end."""
    found, at = dict[str, str](), 0
    while at < len(data) and data[at]:
        length, _, _ = data[at : at + 20].partition(b" ")
        stop = at + int(length) if length.isdigit() else at
        if stop <= at + len(length) or stop > len(data):
            raise _damaged("a header holds no number where one must be")
        key, _, value = data[at + len(length) + 1 : stop - 1].partition(b"=")
        found[_text(key)] = _text(value)
        at = stop
    return found


def _skip_sparse_maps(stream: Stream, block: bytes) -> None:
    more = block[482]
    while more:
        block = stream.read(BLOCK)
        if len(block) < BLOCK:
            raise _damaged("it ends too early")
        more = block[504]


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _damaged(fault: str) -> Rejected:
    return Rejected(RejectReason.DAMAGED_ARCHIVE, fault)

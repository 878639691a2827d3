"""Compressed tars → plain ones of the pieces alone, since no member can be reached without unpacking all before it."""

import tarfile
from collections.abc import Iterator
from typing import IO, BinaryIO

from aurl.data.inputs.members import BOMB_FLOOR_BYTES, BOMB_RATIO, nested, wanted
from aurl.data.inputs.streams import CHUNK_BYTES, DECODERS, magic_of, unpacked
from aurl.data.inputs.tars import BLOCK, Header, headers
from aurl.midi.reasons import Rejected, RejectReason

_MAGIC_BYTES = 6


def compression(file: BinaryIO) -> bytes:
    """The magic of the compression, empty for a plain tar; the file stands at its start afterwards."""
    magic = magic_of(file.read(_MAGIC_BYTES))
    file.seek(0)
    return magic


class PackedStream:
    """A compressed file, from front to back (`tars.Stream`).

    Args:
        file: at its start.
        magic: of its compression.
    """

    def __init__(self, file: BinaryIO, magic: bytes) -> None:
        self._file = file
        self._pieces = unpacked(file.read, DECODERS[magic], magic)
        self._held = b""
        self._at = 0
        self._given = self._unpacked = 0

    def tell(self) -> int:
        """Bytes read or passed over."""
        return self._given

    def read(self, size: int, /) -> bytes:
        """So many bytes; fewer only at the end.

        Raises:
            Rejected: it cannot be unpacked, or gives far too much.
        """
        found, left = [], size
        while left and self._fill():
            piece = self._held[self._at : self._at + left]
            self._at += len(piece)
            left -= len(piece)
            found.append(piece)
        self._given += size - left
        return b"".join(found)

    def skip(self, size: int, /) -> None:
        """Pass over so many bytes.

        Raises:
            Rejected: there are fewer.
        """
        left = size
        while left and self._fill():
            step = min(left, len(self._held) - self._at)
            self._at += step
            left -= step
        self._given += size - left
        if left:
            raise Rejected(RejectReason.DAMAGED_ARCHIVE, "it ends too early")

    def _fill(self) -> bool:
        """Whether bytes are at hand."""
        if self._at == len(self._held):
            self._held, self._at = next(self._pieces, b""), 0
            self._unpacked += len(self._held)
            if self._unpacked > max(BOMB_FLOOR_BYTES, BOMB_RATIO * self._file.tell()):
                raise Rejected(RejectReason.ARCHIVE_BOMB, f"unpacks to more than {BOMB_RATIO} times its size")
        return bool(self._held)


def repack(file: BinaryIO, magic: bytes, out: IO[bytes], max_bytes: int) -> None:
    """Write a plain tar of what matters in a compressed one; where that is damaged, this ends as abruptly.

    Args:
        file: at its start.
        magic: of its compression.
        out: takes the plain tar.
        max_bytes: of `out`.

    Raises:
        Rejected: it would become too large, or is made to become so.
    """
    whole = 0
    try:
        for written in _repacked(PackedStream(file, magic), out, max_bytes):
            whole = written
    except Rejected as error:
        if error.reason is not RejectReason.DAMAGED_ARCHIVE:
            raise
        out.seek(whole)
        out.truncate()
        out.write(bytes(BLOCK - 1))  # half a header: whoever lists the plain tar meets the damage here, too
    else:
        out.write(bytes(2 * BLOCK))


def _repacked(stream: PackedStream, out: IO[bytes], max_bytes: int) -> Iterator[int]:
    """Write member after member; gives the bytes written after each."""
    for header in headers(stream):
        if wanted(header.name) and header.kind != tarfile.DIRTYPE:
            size = header.size if header.is_file and not header.sparse and not nested(header.name) else 0
            if out.tell() + size > max_bytes:
                fault = f"its pieces alone have more than {max_bytes:,} bytes"
                raise Rejected(RejectReason.ARCHIVE_TOO_LARGE, fault)
            out.write(_head(header, size))
            _copy(stream, size, out)
            yield out.tell()


def _head(header: Header, size: int) -> bytes:
    """The member's header as tarfile writes it, with the type that says why a member is not read."""
    info = tarfile.TarInfo(header.name)
    info.size = size
    info.type = tarfile.GNUTYPE_SPARSE if header.sparse else (tarfile.REGTYPE if header.is_file else header.kind)
    return info.tobuf(tarfile.GNU_FORMAT)


def _copy(stream: PackedStream, size: int, out: IO[bytes]) -> None:
    left = size
    while left:
        piece = stream.read(min(left, CHUNK_BYTES))
        if not piece:
            raise Rejected(RejectReason.DAMAGED_ARCHIVE, "it ends too early")
        out.write(piece)
        left -= len(piece)
    out.write(bytes(-size % BLOCK))

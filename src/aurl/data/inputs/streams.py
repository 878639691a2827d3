"""Decompression that gives no more than is asked for, whatever the bytes promise."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from aurl.midi.reasons import Rejected, RejectReason

CHUNK_BYTES = 2**16
GZIP_MAGIC = b"\x1f\x8b\x08"
BZIP2_MAGIC = b"BZh"
XZ_MAGIC = b"\xfd7zXZ\x00"
MAX_XZ_MEMORY = 128 * 2**20
"""`xz -9` needs 65 MiB to unpack; a file may ask for 4 GiB."""
_GZIP_WINDOW = 31
_RAW_WINDOW = -15

Read = Callable[[int], bytes]


class Decoder(Protocol):
    """The part of `bz2.BZ2Decompressor` that all of them share."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing can come without more input."""

    @property
    def unused_data(self) -> bytes:
        """Input behind the end of the stream."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """At most `max_length` bytes."""


class Inflate:
    """zlib's decompressor, made to behave as those of bz2 and lzma do."""

    def __init__(self, window: int = _RAW_WINDOW) -> None:
        self._zlib = zlib.decompressobj(window)

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        """Whether nothing can come without more input."""
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        """Input behind the end of the stream."""
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """At most `max_length` bytes."""
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def gzip_decoder() -> Decoder:
    """For one stream of gzip."""
    return Inflate(_GZIP_WINDOW)


def xz_decoder() -> Decoder:
    """For one stream of xz."""
    return lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY)


DECODERS: dict[bytes, Callable[[], Decoder]] = {
    GZIP_MAGIC: gzip_decoder,
    BZIP2_MAGIC: bz2.BZ2Decompressor,
    XZ_MAGIC: xz_decoder,
}
"""Magic → decoder of one stream."""


def magic_of(head: bytes) -> bytes:
    """The magic with which `head` begins; empty for what is not compressed."""
    return next((magic for magic in DECODERS if head.startswith(magic)), b"")


def unpacked(read: Read, make: Callable[[], Decoder], magic: bytes = b"") -> Iterator[bytes]:
    """Decompress, in pieces of at most `CHUNK_BYTES`.

    Args:
        read: gives at most so many compressed bytes, none at the end.
        make: a decoder for one stream.
        magic: with which further streams begin that continue the first; other bytes behind it mean nothing.

    Raises:
        Rejected: it ends too early or contradicts itself; what came before was given.
    """
    decoder, data = make(), read(CHUNK_BYTES)
    while True:
        try:
            given = decoder.decompress(data, CHUNK_BYTES)
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
            raise Rejected(RejectReason.DAMAGED_ARCHIVE, f"it cannot be unpacked: {error}") from error
        if given:
            yield given
        if decoder.eof:
            data = decoder.unused_data
            while magic.startswith(data) and len(data) < len(magic) and (more := read(CHUNK_BYTES)):
                data += more
            if not magic or not data.startswith(magic):
                return
            decoder = make()
        else:
            data = read(CHUNK_BYTES) if decoder.needs_input else b""
            if decoder.needs_input and not data and not given:  # zlib may hold back output though it has all input
                raise Rejected(RejectReason.DAMAGED_ARCHIVE, "it ends too early")


def window(read: Read, size: int) -> Read:
    """`read` that ends after `size` bytes."""
    left = size

    def bounded(wanted: int) -> bytes:
        nonlocal left
        given = read(min(wanted, left))
        left -= len(given)
        return given

    return bounded


def take(pieces: Iterator[bytes], limit: int) -> bytes:
    """The first `limit` bytes; no more pieces are asked for than that needs."""
    held, size = [], 0
    while size < limit and (piece := next(pieces, None)) is not None:
        held.append(piece)
        size += len(piece)
    return b"".join(held)[:limit]


def gunzip(read: Read, limit: int) -> bytes:
    """At most `limit` bytes of what gzip has packed; bytes that it has not packed are given as they are.

    Raises:
        Rejected: it ends too early or contradicts itself.
    """
    head = read(CHUNK_BYTES)
    pending = [head]

    def replay(size: int) -> bytes:
        return pending.pop() if pending else read(size)

    if magic_of(head) != GZIP_MAGIC:
        return take(iter(lambda: replay(CHUNK_BYTES), b""), limit)
    return take(unpacked(replay, gzip_decoder, GZIP_MAGIC), limit)

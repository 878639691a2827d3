"""The bytes of a piece, by its logical path, in any process on any machine that can reach it."""

import os
from functools import lru_cache
from pathlib import Path

from aurl.data.inputs.archives import forget_archives, open_archive
from aurl.data.inputs.books import Book
from aurl.data.inputs.names import BOOKS, GZIP, MARK, is_remote, name_of, parts
from aurl.data.inputs.remote import fetch
from aurl.data.inputs.spool import Spool, default_spool
from aurl.data.inputs.streams import gunzip
from aurl.midi.reasons import Rejected

MAX_BOOK_BYTES = 64 * 2**20
"""A book is held in memory while its tunes are read."""
_BOOKS_HELD = 2
_SPOOLS = 4


def read_source(path: str, limit: int, *, spool: Path | None = None) -> bytes:
    """What is at a logical path, as it was when the path was last listed.

    Args:
        path: a file, a member of an archive, a tune of a book, a URL; what gzip has packed is unpacked.
        limit: the most bytes to give, and to take memory for.
        spool: folder of local copies; by default one in the user's cache.

    Raises:
        Rejected: a damaged archive, or a remote file larger than `limit`.
        OSError: it is not there, or cannot be read.
    """
    if MARK not in path and "://" not in path and path[-3:].lower() != GZIP:
        return _read_file(path, limit)
    try:
        return read_from(path, limit, _spool(spool or default_spool()))
    except Rejected as error:
        raise Rejected(error.reason, error.fault, name=path) from error


def read_from(path: str, limit: int, spool: Spool) -> bytes:
    """`read_source` with a spool at hand; rejections do not name the path."""
    try:
        return _read(path, limit, spool)
    except FileNotFoundError:
        forget_archives()  # of a copy that was cleared since
        return _read(path, limit, spool)


def local_copy(location: str, spool: Spool, max_bytes: int) -> str:
    """Where a file is on this machine; remote ones are fetched.

    Raises:
        Rejected: it is remote and larger than `max_bytes`.
        OSError: it cannot be had.
    """
    return str(fetch(location, spool, max_bytes)) if is_remote(location) else location


def _read_file(path: str, limit: int) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - thousands per second
        # Not the limit, which would allocate as much for every file: five times slower.
        return file.read(min(limit, os.fstat(file.fileno()).st_size + 1))


def _read(path: str, limit: int, spool: Spool) -> bytes:
    outer, inner = parts(path)
    if not inner:
        local = local_copy(outer, spool, limit)
        if not name_of(outer).endswith(GZIP):
            return _read_file(local, limit)
        with open(local, "rb") as file:  # noqa: PTH123
            return gunzip(file.read, limit)
    if name_of(outer).endswith(BOOKS):
        return _read_tune(outer, inner, limit, spool)
    local = local_copy(outer, spool, spool.max_bytes)
    data = open_archive(outer, local, spool).read(inner, limit)
    if data is not None:
        return data
    book, mark, ordinal = inner.rpartition(MARK)
    if not mark:
        raise FileNotFoundError(2, os.strerror(2), path)
    return _read_tune(f"{outer}{MARK}{book}", ordinal, limit, spool)


def _read_tune(book: str, ordinal: str, limit: int, spool: Spool) -> bytes:
    outermost, _ = parts(book)
    status = os.stat(local_copy(outermost, spool, spool.max_bytes))  # noqa: PTH116 - thousands per second
    try:
        return _book(book, status.st_size, status.st_mtime_ns, spool).tune(int(ordinal))[:limit]
    except (ValueError, IndexError):
        raise FileNotFoundError(2, os.strerror(2), f"{book}{MARK}{ordinal}") from None


@lru_cache(_BOOKS_HELD)
def _book(path: str, _size: int, _mtime_ns: int, spool: Spool) -> Book:
    return Book(_read(path, MAX_BOOK_BYTES, spool))


@lru_cache(_SPOOLS)
def _spool(folder: Path) -> Spool:
    """One for each folder and process."""
    return Spool(folder)

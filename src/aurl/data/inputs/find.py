"""Which pieces some paths hold: files, folders, globs and URLs, and the archives and tune books that they lead to."""

import glob
import logging
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from aurl.data.inputs.archives import list_archive
from aurl.data.inputs.books import Book
from aurl.data.inputs.names import (
    ARCHIVE_SUFFIXES,
    BOOKS,
    MARK,
    PIECE_SUFFIXES,
    WANTED,
    is_remote,
    is_shadow,
    name_of,
)
from aurl.data.inputs.read import MAX_BOOK_BYTES, local_copy, read_from
from aurl.data.inputs.remote import look
from aurl.data.inputs.source import UNKNOWN, Found, Refused, Source
from aurl.data.inputs.spool import Spool
from aurl.errors import NotFoundError
from aurl.midi.reasons import Rejected, RejectReason, printable

_FILE_PROTOCOL = "file://"
_OPENED = (*ARCHIVE_SUFFIXES, *BOOKS)

logger = logging.getLogger(__name__)


def find(paths: Iterable[str | Path], *, spool: Path, max_bytes: int) -> Found:
    """Every piece that `paths` name or hold, once, in order of path.

    A file that is named itself is taken whatever it is called; in folders and archives the suffix decides.

    Args:
        paths: files, folders with all that is in them, globs, URLs of these.
        spool: folder for local copies of remote archives and unpacked tars.
        max_bytes: of one piece; larger tune books are not divided.

    Raises:
        NotFoundError: a path names nothing, or all of them together hold nothing that is music by its name.
        AurlError: a server cannot be listed.
    """
    given = [str(path) for path in paths]
    copies = Spool(spool)
    search = _Search(copies, max_bytes)
    for text in given:
        search.add(text)
    copies.tidy()
    if not search.sources and not search.refused:
        raise NotFoundError(
            f"no music in {', '.join(printable(text) for text in given)}",
            hint=f"files are known by their suffix: {', '.join(PIECE_SUFFIXES)}, each also with .gz, "
            f"and archives: {', '.join(ARCHIVE_SUFFIXES)}",
        )
    return search.found()


class _Search:
    """What has been found so far."""

    def __init__(self, spool: Spool, max_bytes: int) -> None:
        self.sources: dict[str, Source] = {}
        self.refused: dict[str, Refused] = {}
        self._spool = spool
        self._max_bytes = max_bytes

    def found(self) -> Found:
        """All of it; what can be read under a path wins over what cannot."""
        refused = (entry for path, entry in self.refused.items() if path not in self.sources)
        return Found(sorted(self.sources.values()), sorted(refused))

    def add(self, text: str) -> None:
        """One argument."""
        if text.startswith(_FILE_PROTOCOL):
            text = url2pathname(urlsplit(text).path)
        if is_remote(text):
            self._add_remote(text)
            return
        for path in _expand(text):
            for entry in _walk(path) if os.path.isdir(path) else [_source(path)]:  # noqa: PTH112 - str is what scandir takes
                if isinstance(entry, Source):
                    self._open(entry)
                else:
                    self.refused[entry.path] = entry

    def _add_remote(self, url: str) -> None:
        for entry in look(url):
            if isinstance(entry, Refused):
                self.refused[entry.path] = entry
                continue
            self._spool.forget(entry.source.path, but=entry.version)
            self._open(entry.source)

    def _open(self, source: Source) -> None:
        """Take the file, or what is in it."""
        name = name_of(source.path)
        if not name.endswith(_OPENED):
            self.sources[source.path] = source
        elif name.endswith(BOOKS):
            self._open_book(source)
        else:
            self._open_archive(source)

    def _open_archive(self, source: Source) -> None:
        try:
            local = local_copy(source.path, self._spool, self._spool.max_bytes)
            members, damage = list_archive(source.path, local, self._spool)
        except (Rejected, OSError) as error:
            self._refuse(source.path, error)
            return
        if damage:
            self._refuse(source.path, damage)
            if damage.reason is not RejectReason.DAMAGED_ARCHIVE:
                return
        for member in members:
            path = f"{source.path}{MARK}{member.name}"
            if member.reason:
                self.refused[path] = Refused(path, member.reason, member.fault)
            elif path not in self.sources:  # a folder may be called as an archive is, with a "!" behind; it wins
                self._add_member(Source(path, member.size, source.mtime_ns))

    def _add_member(self, source: Source) -> None:
        if source.path.lower().endswith(BOOKS):
            self._open_book(source)
        else:
            self.sources[source.path] = source

    def _open_book(self, source: Source) -> None:
        """Take the tunes of an ABC file; where there is one, or it is too large, the file itself."""
        if source.size > min(self._max_bytes, MAX_BOOK_BYTES):
            self.sources[source.path] = source
            return
        try:
            book = Book(read_from(source.path, MAX_BOOK_BYTES, self._spool))
        except (Rejected, OSError) as error:
            self._refuse(source.path, error)
            return
        if len(book) < 2:
            self.sources[source.path] = source
            return
        for ordinal in range(1, len(book) + 1):
            path = f"{source.path}{MARK}{ordinal}"
            self.sources[path] = Source(path, len(book.tune(ordinal)), source.mtime_ns)

    def _refuse(self, path: str, error: Rejected | OSError) -> None:
        if isinstance(error, Rejected):
            self.refused[path] = Refused(path, error.reason, error.fault)
        else:
            self.refused[path] = Refused(path, RejectReason.UNREADABLE, error.strerror or str(error))


def _expand(text: str) -> list[str]:
    """Absolute paths that one argument stands for."""
    path = os.path.abspath(Path(text).expanduser())  # noqa: PTH100 - resolve() would replace links
    if os.path.lexists(path):
        return [path]
    matches = glob.glob(path, recursive=True) if glob.has_magic(text) else []  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not matches:
        hint = "give the archive or the book itself" if MARK in text else "give files, folders or quoted globs"
        raise NotFoundError(f"{printable(text)} does not exist", hint=hint)
    return matches


def _walk(root: str) -> Iterator[Source | Refused]:
    """Files under `root` that matter; links to folders are followed, each folder once."""
    pending, seen = [root], {os.path.realpath(root)}
    while pending:
        try:
            entries = os.scandir(pending.pop())
        except OSError as error:
            logger.warning("folder left out: %s", error)
            continue
        with entries:
            for entry in entries:
                if _is_folder(entry):
                    if not (entry.is_symlink() and _seen(entry.path, seen)):
                        pending.append(entry.path)
                elif entry.name.lower().endswith(WANTED):
                    if is_shadow(entry.name):
                        logger.debug("left out, a shadow of macOS: %s", entry.path)
                    else:
                        yield _source(entry.path, entry)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: by its name it may be a file that cannot be read
        return False


def _seen(link: str, seen: set[str]) -> bool:
    """Whether the folder behind `link` was met before; it is remembered either way."""
    real = os.path.realpath(link)
    known = real in seen
    seen.add(real)
    return known


def _source(path: str, entry: "os.DirEntry[str] | None" = None) -> Source | Refused:
    try:
        status = entry.stat() if entry else os.stat(path)  # noqa: PTH116 - thousands per second
    except OSError:
        return Source(path, UNKNOWN, UNKNOWN)
    if not stat.S_ISREG(status.st_mode):
        return Refused(path, RejectReason.NOT_A_FILE, "a device, a pipe or a socket")
    return Source(path, status.st_size, status.st_mtime_ns)

"""What a name tells of a file: its kind by the suffix, and the parts of a logical path."""

import os
import posixpath
import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from aurl.midi.notation import NOTATION_SUFFIXES

MARK = "!/"
"""Between a container and what is in it."""
GZIP = ".gz"
MIDI_SUFFIXES = (".mid", ".midi", ".kar", ".rmi", ".smf")
PIECE_SUFFIXES = (*MIDI_SUFFIXES, *NOTATION_SUFFIXES)
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
PACKED_SUFFIXES = tuple(suffix + GZIP for suffix in PIECE_SUFFIXES)
WANTED = (*PIECE_SUFFIXES, *PACKED_SUFFIXES, *ARCHIVE_SUFFIXES)
"""What is taken out of a folder; of an archive within an archive only that it is there."""
BOOKS = (".abc", ".abc.gz")
"""May hold several tunes."""
_CONTAINERS = (*ARCHIVE_SUFFIXES, *BOOKS)
_PROTOCOL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def is_remote(path: str) -> bool:
    """Whether `path` is a URL."""
    return _PROTOCOL.match(path) is not None


def name_of(path: str) -> str:
    """The lower-case name by which the kind of a file is known: a URL's without query and escapes."""
    if path[:4].lower() == "http" and is_remote(path):
        path = unquote(urlsplit(path).path)
    return path.lower()


def suffix_of(path: str) -> str:
    """The lower-case suffix of the piece that a logical path names: `.abc` for `tunes.abc.gz!/12`."""
    outer, inner = next(splits(path), ("", path)) if MARK in path else ("", path)
    book, _, ordinal = inner.rpartition(MARK)
    if name_of(outer).endswith(BOOKS) and inner.isdecimal():
        inner = outer
    elif ordinal.isdecimal() and book.lower().endswith(BOOKS):
        inner = book
    return posixpath.splitext(name_of(inner).removesuffix(GZIP))[1]


def is_shadow(path: str) -> bool:
    """Whether macOS made the file to keep what other systems do not know: icons, resource forks."""
    return "/._" in path or path.startswith(("._", "__MACOSX/")) or "/__MACOSX/" in path


def splits(path: str) -> Iterator[tuple[str, str]]:
    """Every (container, what is in it) that a logical path may mean by its names, outermost container first."""
    at = path.find(MARK)
    while at >= 0:
        if name_of(path[:at]).endswith(_CONTAINERS):
            yield path[:at], path[at + len(MARK) :]
        at = path.find(MARK, at + 1)


def parts(path: str) -> tuple[str, str]:
    """Container and what is in it; the latter empty for a file that stands alone. What exists wins.

    Raises:
        FileNotFoundError: it is neither a file nor within one.
    """
    remote = is_remote(path)
    if not remote and os.path.isfile(path):  # noqa: PTH113 - thousands per second
        return path, ""
    for outer, inner in splits(path):
        if inner and (remote or os.path.isfile(outer)):  # noqa: PTH113
            return outer, inner
    if remote:
        return path, ""
    raise FileNotFoundError(2, os.strerror(2), path)

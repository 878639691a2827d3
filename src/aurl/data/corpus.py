"""Which files a data set is made of: found by name, known by size, time and content."""

import glob
import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from aurl.errors import NotFoundError
from aurl.midi.reasons import printable

SUFFIXES = (".mid", ".midi", ".kar", ".rmi", ".smf")
UNKNOWN = -1
"""Size and time of a file that could not be looked at."""

logger = logging.getLogger(__name__)


class Source(NamedTuple):
    """One file, as the folder listing tells of it.

    Args:
        path: absolute.
        size: bytes, `UNKNOWN` if the file cannot be looked at.
        mtime_ns: time of the last change in nanoseconds.
    """

    path: str
    size: int
    mtime_ns: int


def find(paths: Iterable[str | Path]) -> list[Source]:
    """Every MIDI file that `paths` (files, folders with all that is in them, globs) name, once, in order of path.

    A file that is named itself is taken whatever it is called; in folders the suffix decides.

    Raises:
        NotFoundError: a path names nothing, or all of them together hold no MIDI file.
    """
    given = [str(path) for path in paths]
    found: dict[str, Source] = {}
    for text in given:
        for path in _expand(text):
            listed = _walk(path) if os.path.isdir(path) else [_source(path)]  # noqa: PTH112 - str is what scandir takes
            found.update((source.path, source) for source in listed)
    if not found:
        raise NotFoundError(
            f"no MIDI files in {', '.join(printable(text) for text in given)}",
            hint=f"files are known by their suffix: {', '.join(SUFFIXES)}",
        )
    return sorted(found.values())


def _expand(text: str) -> list[str]:
    """Absolute paths that one argument stands for."""
    path = os.path.abspath(Path(text).expanduser())  # noqa: PTH100 - resolve() would replace links
    if os.path.lexists(path):
        return [path]
    matches = glob.glob(path, recursive=True) if glob.has_magic(text) else []  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not matches:
        raise NotFoundError(f"{printable(text)} does not exist", hint="give files, folders or quoted globs")
    return matches


def _walk(root: str) -> Iterator[Source]:
    """MIDI files under `root`; links to folders are followed, each folder once."""
    pending, seen = [root], {os.path.realpath(root)}
    while pending:
        try:
            entries = os.scandir(pending.pop())
        except OSError as error:
            logger.warning("folder left out: %s", error)
            continue
        with entries:
            for entry in entries:
                if entry.is_dir():
                    if not (entry.is_symlink() and _seen(entry.path, seen)):
                        pending.append(entry.path)
                elif entry.name.lower().endswith(SUFFIXES):
                    yield _source(entry.path, entry)


def _seen(link: str, seen: set[str]) -> bool:
    """Whether the folder behind `link` was met before; it is remembered either way."""
    real = os.path.realpath(link)
    known = real in seen
    seen.add(real)
    return known


def _source(path: str, entry: "os.DirEntry[str] | None" = None) -> Source:
    try:
        status = entry.stat() if entry else os.stat(path)  # noqa: PTH116 - thousands per second
    except OSError:
        return Source(path, UNKNOWN, UNKNOWN)
    return Source(path, status.st_size, status.st_mtime_ns)


def listing_digest(sources: Iterable[Source]) -> str:
    """One hash over all paths, sizes and times: equal for an unchanged listing."""
    text = "\0".join(f"{path}\0{size}\0{mtime_ns}" for path, size, mtime_ns in sources)
    return hashlib.sha256(os.fsencode(text)).hexdigest()

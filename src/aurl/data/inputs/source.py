"""What a listing tells of each file: where it is, how big it is, when it changed, or why it cannot be had."""

import hashlib
import os
from collections.abc import Iterable
from typing import NamedTuple

from aurl.midi.reasons import RejectReason

UNKNOWN = -1
"""Size or time of a file that its listing does not tell."""


class Source(NamedTuple):
    """One piece, as the listing of its folder, archive or server tells of it.

    Args:
        path: logical: a file's absolute path, `ARCHIVE!/MEMBER`, `BOOK.abc!/ORDINAL`, or a URL.
        size: bytes as they are stored there, packed by gzip or not; `UNKNOWN` if nobody tells.
        mtime_ns: time of the last change in nanoseconds; for members that of their archive.
    """

    path: str
    size: int
    mtime_ns: int


class Refused(NamedTuple):
    """A file or archive that is known to be of no use before it is read.

    Args:
        path: logical.
        reason: the typed fault.
        fault: what was found, in a few words.
    """

    path: str
    reason: RejectReason
    fault: str


class Found(NamedTuple):
    """All that some paths hold, each in order of path.

    Args:
        sources: what can be read.
        refused: what cannot.
    """

    sources: list[Source]
    refused: list[Refused]

    @property
    def total(self) -> int:
        """Of both."""
        return len(self.sources) + len(self.refused)


def listing_digest(sources: Iterable[Source], refused: Iterable[Refused] = ()) -> str:
    """One hash over all paths, sizes, times and refusals: equal for an unchanged listing."""
    lines = [f"{path}\0{size}\0{mtime_ns}" for path, size, mtime_ns in sources]
    lines += [f"{path}\0{reason}\0{fault}" for path, reason, fault in refused]
    return hashlib.sha256(os.fsencode("\0".join(lines))).hexdigest()

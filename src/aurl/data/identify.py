"""What is in each file: SHA-256 of its bytes, read again only where size or time have changed."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from aurl.data.inputs import UNKNOWN, Source, read_source
from aurl.data.records import Record
from aurl.midi.reasons import Rejected, RejectReason
from aurl.progress import Interrupts, Progress, Report

THREADS = 4
"""Hashing lets go of the interpreter lock, and disks like several requests at once."""
CHUNK_FILES = 256
RACY_NS = 2_000_000_000
"""A file changed less than this before it was listed may change again without a new time (FAT counts 2 s)."""


@dataclass(frozen=True, slots=True)
class Identified:
    """All files of a run.

    Args:
        files: file and SHA-256 of its content, in order of path; times that prove nothing are `UNKNOWN`.
        refused: records of files that were not read: too large, or unreadable.
        complete: whether nobody asked to stop.
        settled: whether size and time will tell that nothing has changed, for all files.
    """

    files: list[tuple[Source, bytes]]
    refused: list[Record]
    complete: bool
    settled: bool


def identify(
    sources: Sequence[Source],
    known: Mapping[str, tuple[int, int, bytes]],
    *,
    listed_ns: int,
    max_bytes: int,
    report: Report,
    interrupts: Interrupts,
) -> Identified:
    """Find the content of every source.

    Args:
        sources: in order of path.
        known: path → (size, mtime_ns, SHA-256) as found by an earlier run.
        listed_ns: wall clock when the sources were listed.
        max_bytes: larger files are refused unread.
        report: told how many files have been read.
        interrupts: looked at between chunks.
    """
    refused = [_too_large(source, source.size, max_bytes) for source in sources if source.size > max_bytes]
    sources = [source for source in sources if source.size <= max_bytes]
    digests = {source.path: known[source.path][2] for source in sources if _is_known(source, known.get(source.path))}
    unknown = [source for source in sources if source.path not in digests]
    chunks = [unknown[start : start + CHUNK_FILES] for start in range(0, len(unknown), CHUNK_FILES)]
    done = 0
    for chunk, found in _hashed(chunks, max_bytes, interrupts):
        for source, digest in zip(chunk, found, strict=True):
            if isinstance(digest, bytes):
                digests[source.path] = digest
            else:
                refused.append(digest)
        done += len(chunk)
        report(Progress("read", done, len(unknown), "files"))
    settled = [_settled(source, listed_ns) for source in sources if source.path in digests]
    return Identified(
        files=[(source, digests[source.path]) for source in settled],
        refused=refused,
        complete=done == len(unknown),
        settled=all(source.mtime_ns != UNKNOWN for source in settled),
    )


def _hashed(
    chunks: Sequence[Sequence[Source]], max_bytes: int, interrupts: Interrupts
) -> Iterator[tuple[Sequence[Source], list[bytes | Record]]]:
    with ThreadPoolExecutor(THREADS) as threads:
        for start in range(0, len(chunks), THREADS):
            if interrupts.stop is not None:
                return
            group = chunks[start : start + THREADS]
            found = threads.map(lambda chunk: [_digest(source, max_bytes) for source in chunk], group)
            yield from zip(group, found, strict=True)


def _digest(source: Source, max_bytes: int) -> bytes | Record:
    """SHA-256 of the content, or a record of why it cannot be had."""
    try:
        data = read_source(source.path, max_bytes + 1)
    except Rejected as error:
        return Record(source.path, "", max(source.size, 0), error.reason, error.fault)
    except OSError as error:
        return Record(source.path, "", max(source.size, 0), RejectReason.UNREADABLE, error.strerror or str(error))
    return hashlib.sha256(data).digest() if len(data) <= max_bytes else _too_large(source, len(data), max_bytes)


def _is_known(source: Source, known: tuple[int, int, bytes] | None) -> bool:
    return known is not None and source.mtime_ns != UNKNOWN and known[:2] == source[1:]


def _settled(source: Source, listed_ns: int) -> Source:
    return source if source.mtime_ns < listed_ns - RACY_NS else source._replace(mtime_ns=UNKNOWN)


def _too_large(source: Source, size: int, max_bytes: int) -> Record:
    fault = f"at least {size} bytes, more than {max_bytes}"
    return Record(source.path, "", size, RejectReason.TOO_LARGE, fault)

"""Bytes or a file → Score, with every repair counted.

symusic parses what the pre-scan found ordinary and fully accounts for; all else goes through our own parser, which
knows every event: columns at once where the bytes follow the grammar, one by one where they do not.
"""

import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from aurl.midi.assemble import assemble
from aurl.midi.columns import from_symusic
from aurl.midi.events import Events, parse
from aurl.midi.prescan import MAX_BYTES, Prescan, prescan
from aurl.midi.reasons import Rejected, RejectReason
from aurl.midi.repair import Repaired, repair_frame, repair_notes
from aurl.midi.score import Score
from aurl.midi.skim import Irregular
from aurl.midi.walk import walk

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReadResult:
    """A score and what had to be repaired to get it: repair name → how often."""

    score: Score
    repairs: dict[str, int] = field(default_factory=dict)


def read_score(data: bytes, *, name: str = "", max_bytes: int = MAX_BYTES, bare: bool = False) -> ReadResult:
    """The score in the bytes of a Standard MIDI File.

    It holds at least one note, and inside a track no two notes of one pitch overlap.

    Args:
        data: the whole file.
        name: what messages call it.
        max_bytes: the largest size that is looked at.
        bare: controls, lyrics and markers are not wanted, and may be missing; it is faster.

    Raises:
        Rejected: the file cannot be used; `.reason` says why.
    """
    try:
        return _read(data, max_bytes, bare=bare)
    except Rejected as rejected:
        raise Rejected(rejected.reason, rejected.fault, name=name) from rejected


def load_score(path: Path, *, max_bytes: int = MAX_BYTES) -> ReadResult:
    """The score in the file at `path`, whose size is checked before it is read.

    Raises:
        Rejected: the file cannot be used; `.reason` says why.
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise Rejected(RejectReason.TOO_LARGE, f"{size} bytes, more than {max_bytes}", name=str(path))
        data = path.read_bytes()
    except OSError as error:
        raise Rejected(RejectReason.UNREADABLE, error.strerror or str(error), name=str(path)) from error
    return read_score(data, name=str(path), max_bytes=max_bytes)


def _read(data: bytes, max_bytes: int, *, bare: bool) -> ReadResult:
    scan = prescan(data, max_bytes=max_bytes)
    repairs = scan.repairs
    parsed = None
    if scan.skim is not None and not scan.suspicious:
        parsed = from_symusic(scan.data, scan.skim, bare=bare)
    if parsed is None:
        score, found = assemble(_events(scan, repairs), scan.ticks_per_beat)
        repairs += found
        parsed = repair_notes(score)
    return finish(parsed, repairs)


def finish(parsed: Repaired, repairs: Counter[str]) -> ReadResult:
    """Repair the frame of a score whose notes are in order, and sum up all repairs.

    Args:
        parsed: the score, and the repairs of its notes.
        repairs: what was mended before.

    Raises:
        Rejected: it holds no notes.
    """
    score, mended = parsed
    if not score.note_count:
        raise Rejected(RejectReason.NO_NOTES, "it holds no notes")
    score, made = repair_frame(score)
    for one in (*mended, *made):
        repairs[one.name] += one.count
    return ReadResult(score, dict(repairs))


def _events(scan: Prescan, repairs: Counter[str]) -> Events:
    """Every event of the file, one by one if need be."""
    if scan.skim is not None:
        try:
            return parse(scan.data, scan.skim)
        except Irregular:
            _log.debug("the bytes break the grammar; walking them one by one")
    events, found = walk(scan.data, scan.chunks)
    repairs.update(found)
    return events

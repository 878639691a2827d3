"""How many channel events the bytes hold, without looking at each of them.

Every byte is low (< 0x80: data, or the end of a delta time) or high (a status, or the start of a long delta time).
A channel event with two data bytes has exactly three low bytes (the end of its delta time and its data), whether or
not it repeats its status. So, counting low bytes from where such events begin, a high byte at count 3n + 1 is a status
and at 3n it belongs to a delta time, and the number of events is a third of the number of low bytes. Only what is not
of that shape (program changes, channel pressure, meta and system-exclusive events) has to be visited one by one, and
there are few: this costs a tenth of parsing every event in Python.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aurl.midi.reasons import Rejected, RejectReason

MAX_EVENTS = 1_000_000
MAX_KEPT_METAS = 100_000
MAX_TICKS = 2**31
META, SYSEX = 0xFF, 0xF0
TRACK_NAME, LYRIC, MARKER, END_OF_TRACK, TEMPO, TIME_SIGNATURE, KEY_SIGNATURE = 3, 5, 6, 0x2F, 0x51, 0x58, 0x59
PAYLOAD_BYTES = {TEMPO: 3, TIME_SIGNATURE: 2, KEY_SIGNATURE: 2}
"""What each of these meta events must hold at least."""
KEPT_METAS = frozenset({TRACK_NAME, LYRIC, MARKER, *PAYLOAD_BYTES})
"""Meta events that say something about the music; all others are passed over."""
_END = bytes([END_OF_TRACK, 0])

_HIGH_BYTES = bytes(range(0x80, 0x100))
_VISITED = np.array([0xC0 <= byte < 0xE0 or byte >= 0xF0 for byte in range(256)])
_MAX_LIST = 2**18


class Irregular(Exception):  # noqa: N818 - never leaves the package; a fact about a file, not an error
    """The bytes break the grammar; only a walk from event to event can tell what they hold."""


Run = tuple[int, int, int, int, int, int]
"""Channel events of two data bytes that follow each other, and the event of another shape after them.

(index of the chunk; where the first delta time begins; low bytes in the file before it; how many events of two data
bytes; where the status of the other event is, or its data where it repeats the status before; that status)
"""


@dataclass(slots=True)
class Skim:
    """What the bytes hold.

    Args:
        high: positions of all high bytes.
        runs: in file order; the last of each chunk ends with its end of track.
        channel_events: notes on and off, controls, pitch bends and key pressure, in all.
        kept_metas: tempo, meter, key and text events.
        tempi: tempo changes.
        lyric_chunks: track chunks that hold lyrics.
        doubt: why a library might misread the bytes; empty if nothing speaks against it.
    """

    high: NDArray[np.int64]
    runs: list[Run] = field(default_factory=list)
    channel_events: int = 0
    kept_metas: int = 0
    tempi: int = 0
    lyric_chunks: list[int] = field(default_factory=list)
    doubt: str = ""


def skim(data: bytes, chunks: Sequence[tuple[int, int]]) -> Skim:
    """What the track chunks hold; each must end with its end of track.

    Raises:
        Irregular: the bytes break the grammar.
        Rejected: more events or tempo changes than any piece of music has.
    """
    raw = np.frombuffer(data, np.uint8)
    is_high = raw >= 0x80
    high = is_high.nonzero()[0]
    skimmer = _Skimmer(data, raw, high)
    first_highs = high.searchsorted([start for start, _ in chunks]).tolist()
    for index, ((start, stop), highs) in enumerate(zip(chunks, first_highs, strict=True)):
        try:
            skimmer.chunk(index, start, stop, start - highs)
        except IndexError:
            raise Irregular("the last event is cut off") from None
    result = skimmer.result
    if result.channel_events + len(result.runs) > MAX_EVENTS:
        raise too_many_events()
    if not result.doubt and _may_overflow(is_high, result) and _longest_ticks(raw, result) >= MAX_TICKS:
        result.doubt = "very long pauses"
    return result


def too_many_metas(tempi: int) -> Rejected:
    """What to raise where there are more than `MAX_KEPT_METAS`."""
    reason = RejectReason.TOO_MANY_TEMPI if tempi > MAX_KEPT_METAS // 2 else RejectReason.TOO_MANY_EVENTS
    return Rejected(reason, f"more than {MAX_KEPT_METAS} tempo, meter, key and text events")


def too_many_events() -> Rejected:
    """What to raise where there are more than `MAX_EVENTS`."""
    return Rejected(RejectReason.TOO_MANY_EVENTS, f"more than {MAX_EVENTS} events")


def _may_overflow(is_high: NDArray[np.bool_], result: Skim) -> bool:
    """A look from further away than `_longest_ticks`, enough for most files: neighbouring high bytes are few."""
    pairs = int(np.count_nonzero(is_high[1:] & is_high[:-1]))
    triples = int(np.count_nonzero(is_high[2:] & is_high[1:-1] & is_high[:-2])) if pairs else 0
    events = result.channel_events + len(result.runs)
    return (events << 14) + (pairs << 21) + (triples << 28) >= MAX_TICKS


def _longest_ticks(raw: NDArray[np.uint8], result: Skim) -> int:
    """More ticks than the file can last.

    A delta time is below 2^14 unless it has two or three high bytes, of which the first says how long it is.
    """
    high = result.high
    total = result.channel_events + len(result.runs) << 14
    pairs = high[:-1][high[1:] - high[:-1] == 1]
    if len(pairs):
        total += (int((raw[pairs] & 0x7F).sum()) + len(pairs)) << 14
        triples = high[:-2][high[2:] - high[:-2] == 2]
        total += (int((raw[triples] & 0x7F).sum()) + len(triples)) << 21
    return total


class _Skimmer:
    """The visit of the events that are not of the common shape."""

    def __init__(self, data: bytes, raw: NDArray[np.uint8], high: NDArray[np.int64]) -> None:
        self.data = data
        self.result = Skim(high)
        self.index = 0
        self.programs: dict[tuple[int, int], int] = {}
        which = _VISITED.take(raw.take(high)).nonzero()[0]
        positions = high.take(which)
        lows = positions - which
        small = len(which) <= _MAX_LIST  # as lists they are read faster, but take eight times the memory
        self.positions: Any = positions.tolist() if small else positions
        self.lows: Any = lows.tolist() if small else lows
        self.phases = (lows % 3).astype(np.uint8).tobytes()

    def chunk(self, chunk: int, at: int, stop: int, low: int) -> None:
        """Visit one track chunk, whose events start at `at` after `low` low bytes."""
        self.index = chunk
        data, positions, lows, phases, result = self.data, self.positions, self.lows, self.phases, self.result
        add, following = result.runs.append, bisect_right(positions, at)
        while True:
            if phases[following] != (low + 1) % 3:
                following = self._next_of_phase((low + 1) % 3, following)
            found, found_low = positions[following], lows[following]
            if found >= stop:
                raise Irregular("no end of track")
            events, status = (found_low - low) // 3, data[found]
            add((chunk, at, low, events, found, status))
            result.channel_events += events
            if following > MAX_EVENTS and len(result.runs) > MAX_EVENTS:
                raise too_many_events()
            if status < 0xE0:
                at, low = self._one_byte_events(chunk, found, found_low, stop)
            else:
                at, width = self._payload_event(found, status, stop)
                if not width:
                    break
                low = found_low + width
            while positions[following] < at:
                following += 1
        if at != stop:
            raise Irregular("bytes after the end of track")

    def _next_of_phase(self, phase: int, following: int) -> int:
        found = self.phases.find(phase, following)
        if found < 0:
            raise Irregular("no end of track")
        return found

    def _check_status(self, at: int) -> None:
        if self.data[_status_position(self.data, at)] < 0x80:
            raise Irregular("no status after a meta or system-exclusive event")

    def _one_byte_events(self, chunk: int, at: int, low: int, stop: int) -> tuple[int, int]:
        """Where the events of one data byte that start at the status `at` end, and the low bytes up to there."""
        data, status = self.data, self.data[at]
        if data[at + 1] >= 0x80:
            raise Irregular("a data byte out of range")
        if status < 0xD0 and self.programs.setdefault((chunk, status), data[at + 1]) != data[at + 1]:
            self.result.doubt = "several programs on one channel, whose controls symusic copies"
        at, low = at + 2, low + 1
        while data[following := _status_position(data, at)] < 0x80:
            if following >= stop:
                raise Irregular("no end of track")
            if len(self.result.runs) > MAX_EVENTS:
                raise too_many_events()
            self.result.runs.append((chunk, at, low, 0, following, status))
            at, low = following + 1, low + 2
        return at, low

    def _payload_event(self, at: int, status: int, stop: int) -> tuple[int, int]:
        """Where the meta or system-exclusive event whose status is at `at` ends; its low bytes, 0: the end of track."""
        data = self.data
        if status != META:
            start, end = at, self._end_of_system(at, status)
        else:
            start, end = (at + 3, at + 3 + data[at + 2]) if data[at + 2] < 0x80 else payload_bounds(data, at + 2)
        body = data[at + 1 : end]
        is_ascii = body.isascii()
        if status == META and body[0] in KEPT_METAS:
            self._check_meta(body[0], data[start:end], is_ascii=is_ascii)
        if end > stop:
            raise Irregular("an event longer than its track")
        if body == _END:
            return end, 0
        second = data[end + 1]
        if second < 0x80 if data[end] < 0x80 else second >= 0x80 or data[end + 2] < 0x80:
            self._check_status(end)
        return end, len(body) if is_ascii else len(body.translate(None, _HIGH_BYTES))

    def _end_of_system(self, at: int, status: int) -> int:
        if status != SYSEX:
            raise Irregular(f"system message {status:#x}")
        return payload_bounds(self.data, at + 1)[1]

    def _check_meta(self, kind: int, payload: bytes, *, is_ascii: bool) -> None:
        result = self.result
        result.kept_metas += 1
        if kind == TEMPO:
            result.tempi += 1
        elif kind == LYRIC and payload and result.lyric_chunks[-1:] != [self.index]:
            result.lyric_chunks.append(self.index)
        if result.kept_metas > MAX_KEPT_METAS:
            raise too_many_metas(result.tempi)
        if kind in PAYLOAD_BYTES:
            if len(payload) < PAYLOAD_BYTES[kind]:
                result.doubt = "a meta event that is too short"
        elif not is_ascii and not _is_utf8(payload):
            result.doubt = "text that is not UTF-8"


def payload_bounds(data: bytes, at: int) -> tuple[int, int]:
    """(start, end) of the payload whose length stands at `at`."""
    length = 0
    for _ in range(4):
        byte = data[at]
        length = length << 7 | byte & 0x7F
        at += 1
        if byte < 0x80:
            return at, at + length
    raise Irregular("a length of more than four bytes")


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _status_position(data: bytes, at: int) -> int:
    """Where the status after the delta time at `at` should be."""
    for end in range(at, at + 4):
        if data[end] < 0x80:
            return end + 1
    raise Irregular("a delta time of more than four bytes")

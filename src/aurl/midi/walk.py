"""A careful walk from event to event, for files that break the grammar: it keeps what is whole and counts the rest."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from aurl.midi import skim
from aurl.midi.events import Events, Meta, Program
from aurl.midi.reasons import Rejected, RejectReason
from aurl.midi.skim import MAX_TICKS, META, SYSEX, Irregular

_ESCAPE = 0xF7
_SYSTEM_COMMON_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}
_MAX_QUANTITY_BYTES = 4
_MAX_BAD_BYTES = 8
_MAX_BAD_SHARE = 0.05
"""Bytes out of range per event, beyond which a file is noise and not music with a few faults."""


def walk(data: bytes, chunks: Sequence[tuple[int, int]]) -> tuple[Events, Counter[str]]:
    """The events of the track chunks, and what had to be repaired to read them.

    Raises:
        Rejected: no sense can be made of the bytes, or there are too many events or ticks.
    """
    walker = _Walker(data)
    for index, (start, stop) in enumerate(chunks):
        walker.chunk(index, start, stop)
    bad_bytes = walker.repairs["out_of_range_bytes"]
    if bad_bytes > max(_MAX_BAD_BYTES, _MAX_BAD_SHARE * len(walker.rows)):
        raise Rejected(RejectReason.MALFORMED, f"{bad_bytes} bytes out of range in {len(walker.rows)} events")
    columns = np.array(walker.rows, np.int64).reshape(-1, 5)
    chunk, tick = columns[:, 0], columns[:, 1]
    status, first, second = columns[:, 2:].astype(np.uint8).T
    events = Events(chunk, tick, status, first, second, walker.programs, walker.metas, walker.ends)
    return events, +walker.repairs


class _CutOffError(Exception):
    """The chunk ends in the middle of an event."""


class _Walker:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.rows: list[tuple[int, int, int, int, int]] = []
        self.programs: list[Program] = []
        self.metas: list[Meta] = []
        self.ends: list[int] = []
        self.repairs: Counter[str] = Counter()
        self.index = self.tick = self.running = self.stop = self.count = 0
        self.ended = False

    def chunk(self, index: int, at: int, stop: int) -> None:
        """Walk one track chunk from `at` to `stop`."""
        self.index, self.tick, self.running, self.stop, self.ended = index, 0, 0, stop, False
        end_of_track, events_before = 0, 0
        while at < stop:
            try:
                at = self._event(at)
            except (_CutOffError, Irregular) as error:
                if not end_of_track and isinstance(error, Irregular):
                    raise Rejected(RejectReason.MALFORMED, f"{error} (byte {at}, track {index + 1})") from None
                self.repairs["bytes_after_end" if end_of_track else "cut_off_events"] += 1
                break
            if self.ended and not end_of_track:
                end_of_track, events_before = at, len(self.rows)
        self.ends.append(self.tick)
        if not end_of_track:
            self.repairs["missing_end_of_track"] += 1
        elif end_of_track < stop:
            self._count_after_end(events_before)

    def _count_after_end(self, events_before: int) -> None:
        late = sum(status & 0xF0 == 0x90 and velocity > 0 for _, _, status, _, velocity in self.rows[events_before:])
        if late:
            self.repairs["notes_after_end"] += late

    def _event(self, at: int) -> int:
        """Take in the event at `at`; returns where the next one starts."""
        self.count += 1
        if self.count > skim.MAX_EVENTS:
            raise skim.too_many_events()
        at = self._delta(at)
        status = self._byte(at)
        if status >= 0x80:
            at += 1
        elif self.running:
            status = self.running
        else:
            raise Irregular("an event without a status")
        if status < 0xF0:
            return self._channel_event(at, status)
        if status == META:
            return self._meta(at)
        if status in (SYSEX, _ESCAPE):
            return self._payload(at)[1]
        self.repairs["illegal_messages"] += 1
        return at + _SYSTEM_COMMON_BYTES.get(status, 0)

    def _delta(self, at: int) -> int:
        value, at = self._quantity(at)
        self.tick += value
        if self.tick >= MAX_TICKS:
            raise Rejected(RejectReason.TICK_OVERFLOW, f"a track of {self.tick} ticks, more than {MAX_TICKS}")
        return at

    def _quantity(self, at: int) -> tuple[int, int]:
        """(value, end) of the variable-length quantity at `at`."""
        value = 0
        for _ in range(_MAX_QUANTITY_BYTES):
            byte = self._byte(at)
            value, at = value << 7 | byte & 0x7F, at + 1
            if byte < 0x80:
                return value, at
        raise Irregular("a delta time or length of more than four bytes")

    def _byte(self, at: int) -> int:
        if at >= self.stop:
            raise _CutOffError
        return self.data[at]

    def _channel_event(self, at: int, status: int) -> int:
        self.running = status
        first = self._data_byte(at)
        if status & 0xF0 == 0xC0:
            self.programs.append(Program(self.index, status & 0x0F, len(self.rows), first))
        if status & 0xE0 == 0xC0:
            return at + 1
        self.rows.append((self.index, self.tick, status, first, self._data_byte(at + 1)))
        return at + 2

    def _data_byte(self, at: int) -> int:
        value = self._byte(at)
        if value >= 0x80:
            self.repairs["out_of_range_bytes"] += 1
        return min(value, 0x7F)

    def _meta(self, at: int) -> int:
        kind = self._byte(at)
        start, end = self._payload(at + 1)
        if kind in skim.KEPT_METAS:
            self.metas.append(Meta(self.index, self.tick, kind, self.data[start:end]))
            if len(self.metas) > skim.MAX_KEPT_METAS:
                raise skim.too_many_metas(sum(meta.kind == skim.TEMPO for meta in self.metas))
        elif kind == skim.END_OF_TRACK:
            self.ended, self.running = True, 0
        return end

    def _payload(self, at: int) -> tuple[int, int]:
        """(start, end) of the payload whose length stands at `at`."""
        length, start = self._quantity(at)
        if start + length > self.stop:
            raise _CutOffError
        return start, start + length

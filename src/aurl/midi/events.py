"""Every event of a file as columns, for files that a library would misread; no Python loop over channel events.

The same counting of low bytes as in `skim` gives delta times, statuses and data of all channel events at once.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aurl.midi.reasons import Rejected, RejectReason
from aurl.midi.score import Ints
from aurl.midi.skim import KEPT_METAS, MAX_TICKS, META, Irregular, Skim, payload_bounds

Bytes = NDArray[np.uint8]


class Meta(NamedTuple):
    """A meta event: its track chunk, absolute tick, kind and payload."""

    chunk: int
    tick: int
    kind: int
    payload: bytes


class Program(NamedTuple):
    """A program change: its track chunk and channel, and how many channel events of the file come before it."""

    chunk: int
    channel: int
    before: int
    program: int


@dataclass(frozen=True, slots=True)
class Events:
    """Events in file order.

    Args:
        chunk: track chunk of each channel event.
        tick: absolute, from the start of its chunk.
        status: 0x80–0xBF and 0xE0–0xEF.
        first: first data byte.
        second: second data byte.
        programs: program changes.
        metas: tempo, meter, key and text events.
        ends: tick at which each chunk ends.
    """

    chunk: Ints
    tick: Ints
    status: Bytes
    first: Bytes
    second: Bytes
    programs: list[Program] = field(default_factory=list)
    metas: list[Meta] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Runs:
    """The runs of a skim as columns, and the index of the first channel event of each."""

    chunk: Ints
    start: Ints
    low: Ints
    events: Ints
    stop: Ints
    first: Ints

    @property
    def count(self) -> int:
        return int(self.events.sum())


def parse(data: bytes, skim: Skim) -> Events:
    """The events of a file that has been skimmed.

    Raises:
        Irregular: the bytes break the grammar after all.
        Rejected: a track lasts 2^31 ticks or more.
    """
    chunk, start, low, events, stop, _ = np.array(skim.runs, np.int64).reshape(-1, 6).T
    runs = _Runs(chunk, start, low, events, stop, np.cumsum(events) - events)
    raw = np.frombuffer(data, np.uint8)
    data_bytes = _low_bytes(raw, runs)
    status, delta = _statuses_and_deltas(raw, skim.high, runs, data_bytes[:, 0])
    run_ticks, stop_ticks = _run_ticks(data, skim, runs, delta)
    elapsed = np.cumsum(delta)
    tick = elapsed + np.repeat(run_ticks - _before(elapsed, runs.first), events)
    return Events(
        np.repeat(chunk, events),
        tick,
        status,
        data_bytes[:, 1],
        data_bytes[:, 2],
        *_others(data, skim, runs, stop_ticks),
    )


def _low_bytes(raw: Bytes, runs: _Runs) -> Bytes:
    """(events, 3): the end of the delta time and both data bytes of each channel event."""
    low_bytes = raw[raw < 0x80]
    parts = [low_bytes[a : a + 3 * n] for a, n in zip(runs.low.tolist(), runs.events.tolist(), strict=True)]
    return np.concatenate([*parts, np.empty(0, np.uint8)]).reshape(-1, 3)


def _statuses_and_deltas(raw: Bytes, high: Ints, runs: _Runs, delta_ends: Bytes) -> tuple[Bytes, Ints]:
    """Status and delta time of each channel event, from the place of every high byte among the low ones."""
    bounds = np.searchsorted(high, np.stack([runs.start, runs.stop], 1).ravel())
    widths = bounds[1::2] - bounds[::2]
    inside = np.arange(widths.sum()) + np.repeat(bounds[::2] - np.cumsum(widths) + widths, widths)
    position = high[inside]
    lows = position - inside - np.repeat(runs.low, widths)
    event = lows // 3
    phase = lows - 3 * event
    if np.any(phase == 2):
        raise Irregular("a status in the middle of an event")
    of_another_shape = event == np.repeat(runs.events, widths)
    event += np.repeat(runs.first, widths)
    is_status = phase == 1
    status = _repeated(raw[position[is_status]], event[is_status], runs)
    in_delta = ~is_status & ~of_another_shape
    return status, _deltas(raw, position[in_delta], event[in_delta], delta_ends)


def _repeated(status: Bytes, event: Ints, runs: _Runs) -> Bytes:
    """The status of every event, where `status` are those that the file spells out."""
    if np.any(event[1:] == event[:-1]):
        raise Irregular("two statuses for one event")
    spelled = np.zeros(runs.count + 1, np.bool_)
    spelled[event] = True
    if not spelled[runs.first[runs.events > 0]].all():
        raise Irregular("an event without a status")
    return np.repeat(status, np.append(event[1:], runs.count) - event if len(event) else event)


def _deltas(raw: Bytes, position: Ints, event: Ints, ends: Bytes) -> Ints:
    """Delta times: the low byte that ends each, and the high bytes before it, seven bits each."""
    delta = ends.astype(np.int64)
    values = raw[position].astype(np.int64) & 0x7F
    if not np.any(event[1:] == event[:-1]):
        delta[event] += values << 7
        return delta
    places = np.searchsorted(event, event, side="right") - np.arange(len(event))
    if np.any(places > 3):
        raise Irregular("a delta time of more than four bytes")
    np.add.at(delta, event, values << 7 * places)
    return delta


def _before(elapsed: Ints, index: Ints) -> Ints:
    """Ticks elapsed before the events at `index`."""
    return np.concatenate([[0], elapsed])[index]


def _run_ticks(data: bytes, skim: Skim, runs: _Runs, delta: Ints) -> tuple[Ints, Ints]:
    """(tick at which each run starts, tick of the event after it)."""
    elapsed = np.cumsum(delta)
    within = _before(elapsed, runs.first + runs.events) - _before(elapsed, runs.first)
    after = np.array([_delta_before(data, run[1], run[4]) for run in skim.runs], np.int64)
    stop_ticks = np.cumsum(within + after)
    first_run = np.searchsorted(runs.chunk, runs.chunk)
    origin = (stop_ticks - within - after)[first_run]
    stop_ticks = stop_ticks - origin
    if np.any(stop_ticks >= MAX_TICKS):
        raise Rejected(RejectReason.TICK_OVERFLOW, f"a track of {stop_ticks.max()} ticks, more than {MAX_TICKS}")
    return stop_ticks - within - after, stop_ticks


def _delta_before(data: bytes, start: int, stop: int) -> int:
    """The delta time that ends before the status at `stop`, in a run that starts at `start`."""
    value, at = data[stop - 1], stop - 2
    for shift in (7, 14, 21):
        if at < start or data[at] < 0x80:
            return value
        value += (data[at] & 0x7F) << shift
        at -= 1
    if at >= start and data[at] >= 0x80:
        raise Irregular("a delta time of more than four bytes")
    return value


def _others(data: bytes, skim: Skim, runs: _Runs, stop_ticks: Ints) -> tuple[list[Program], list[Meta], list[int]]:
    """Program changes, meta events, and the tick at which each chunk ends."""
    programs: list[Program] = []
    metas: list[Meta] = []
    for run, tick, before in zip(skim.runs, stop_ticks.tolist(), (runs.first + runs.events).tolist(), strict=True):
        chunk, stop, status = run[0], run[4], run[5]
        if status == META:
            if data[stop + 1] in KEPT_METAS:
                start, end = payload_bounds(data, stop + 2)
                metas.append(Meta(chunk, tick, data[stop + 1], data[start:end]))
        elif status & 0xF0 == 0xC0:
            program = data[stop + 1] if data[stop] >= 0x80 else data[stop]
            programs.append(Program(chunk, status & 0x0F, before, program))
    return programs, metas, stop_ticks[np.diff(runs.chunk, append=-1) != 0].tolist()

"""Notes on the step grid → ids, by sorting packed integers; no Python loop over notes.

Within one step the order is: NOTE_OFFs of notes begun earlier, then notes that begin and end there (ON, OFF), then ONs
of lasting notes; each of the three by part, then velocity, then pitch, so that few PART and VELOCITY ids are needed.

An event is one int64, from high bits to low: step, phase, part, velocity level, note id (8 bits), and one bit that is
clear where a VELOCITY id is needed (so that of equal events the one that needs it comes first). A lane (part and pitch)
is spread over the same bits, so that it becomes part of an event by one addition.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from aurl.midi.score import Ints
from aurl.tokens.timing import STEP_BITS
from aurl.tokens.vocabulary import MAX_SHIFT_STEPS, NOTE_OFF, PART, TIME_SHIFT, VELOCITY

NOTE_AT, VELOCITY_AT, PART_AT, PHASE_AT, STEP_AT = 1, 9, 12, 17, 19
"""Lowest bit of each field of an event."""
NOTE_MASK, VELOCITY_MASK, PART_MASK = 0xFF, 0b111, 0b11111
SAME_LEVEL = 1
NONE = -1
"""Part or velocity level before the first id that sets one."""
VELOCITY_BITS = PART_AT - VELOCITY_AT
PART_IN_LANE = PART_AT - NOTE_AT
STEP_MASK = (1 << STEP_BITS) - 1
OFF_PHASE, EMPTY_PHASE, ON_PHASE = (phase << PHASE_AT for phase in range(3))

Int = TypeVar("Int", np.int64, np.int32)


@dataclass(frozen=True, slots=True)
class GridNotes:
    """Notes on the step grid, in any order, all columns int64.

    Args:
        onset: steps.
        duration: steps, ≥ 0.
        lane: `lanes(part, pitch)`.
        velocity: level 0–5.
    """

    onset: Ints
    duration: Ints
    lane: Ints
    velocity: Ints


@dataclass(frozen=True, slots=True)
class Edges:
    """How a stretch of a stream is cut out of it.

    Args:
        begins: which notes begin in the stretch; the onset of others is not looked at.
        ends: which notes end in it.
        step: where it begins.
        part: PART in force there, or `NONE`.
        velocity: level in force there, or `NONE`.
    """

    begins: NDArray[np.bool_]
    ends: NDArray[np.bool_]
    step: int = 0
    part: int = NONE
    velocity: int = NONE


WHOLE = Edges(np.empty(0, np.bool_), np.empty(0, np.bool_))
"""Nothing is cut."""


def lanes(part: Ints, pitch: Ints) -> Ints:
    """One number for part and pitch: where at most one note sounds at a time."""
    return (part << PART_IN_LANE) + pitch


def without_overlaps(notes: GridNotes, *, merge_unisons: bool) -> tuple[GridNotes, dict[str, int]]:
    """At most one note at a time in each lane.

    A note that still sounds where the next of its lane begins ends there (`same_pitch_overlap`). Of notes that begin
    together, all but the longest so become empty ones; `merge_unisons` makes them one note, the longest and loudest
    (`unison_merged`).
    """
    begin = (notes.lane << STEP_BITS) + notes.onset
    key = (begin << STEP_BITS) + notes.duration
    key = (key << VELOCITY_BITS) + notes.velocity
    key.sort()
    begin = key >> (STEP_BITS + VELOCITY_BITS)
    velocity = key & VELOCITY_MASK
    duration = key >> VELOCITY_BITS & STEP_MASK
    repairs = {}
    if merge_unisons:
        first = _changes(begin).nonzero()[0]
        if merged := len(begin) - len(first):
            repairs["unison_merged"] = merged
            last = np.append(first[1:], len(begin)) - 1
            begin, duration, velocity = begin[last], duration[last], np.maximum.reduceat(velocity, first)
    # With the lane in the high bits, only the next note of the same lane can be nearer than the duration.
    room = begin[1:] - begin[:-1]
    cut = duration[:-1] > room
    if overlaps := int(np.count_nonzero(cut)):
        repairs["same_pitch_overlap"] = overlaps
        np.minimum(duration[:-1], room, out=duration[:-1])
    return GridNotes(begin & STEP_MASK, duration, begin >> STEP_BITS, velocity), repairs


def body_ids(notes: GridNotes, *, parts: bool, edges: Edges = WHOLE) -> NDArray[np.uint16]:
    """Ids of notes that do not overlap within a lane; with `parts`, PART ids say whose they are."""
    if not len(notes.onset):
        return np.empty(0, np.uint16)
    events, with_empty = _events(notes, edges)
    row = events.astype(np.int32)
    note = row >> NOTE_AT & NOTE_MASK
    gap = _differences(events >> STEP_AT)
    gap[0] -= edges.step
    velocity = row >> VELOCITY_AT & VELOCITY_MASK

    # Each event may need several ids, each in its own column; those that it does need are picked out at the end.
    shift = gap + (TIME_SHIFT.start - 1)
    columns = [(gap > 0, shift), (~row & SAME_LEVEL, velocity + VELOCITY.start), (True, note)]
    if parts:
        part = row >> PART_AT & PART_MASK
        columns.insert(1, (_changes(part, edges.part), part + PART.start))
    if with_empty:
        is_empty = (row & (ON_PHASE | EMPTY_PHASE)) == EMPTY_PHASE
        columns.append((is_empty, note + NOTE_OFF.start))
    long = (gap > MAX_SHIFT_STEPS).nonzero()[0]
    full = (gap.take(long) - 1) // MAX_SHIFT_STEPS
    shift[long] -= full * MAX_SHIFT_STEPS

    needed = np.empty((len(events), len(columns)), np.bool_)
    ids = np.empty(needed.shape, np.uint16)
    for index, (where, value) in enumerate(columns):
        needed[:, index], ids[:, index] = where, value
    cells = needed.reshape(-1).nonzero()[0]
    chosen = ids.reshape(-1).take(cells)
    if not len(long):
        return chosen
    return np.insert(chosen, np.repeat(np.searchsorted(cells, long * len(columns)), full), TIME_SHIFT.stop - 1)


def _events(notes: GridNotes, edges: Edges) -> tuple[Ints, bool]:
    """Sorted events, and whether any note begins and ends on one step."""
    row = notes.lane << NOTE_AT
    begin = (notes.onset << STEP_AT) + row
    ons = begin + (notes.velocity << VELOCITY_AT)
    ons += ON_PHASE
    offs = begin + (notes.duration << STEP_AT)
    offs += (NOTE_OFF.start << NOTE_AT) + SAME_LEVEL
    empty = notes.duration == 0
    if edges is not WHOLE:
        empty &= edges.begins & edges.ends
    with_empty = bool(empty.any())
    if with_empty:
        ons[empty] += EMPTY_PHASE - ON_PHASE
    if edges is not WHOLE:
        ons, offs = ons[edges.begins], offs[edges.ends & ~empty]
    elif with_empty:
        offs = offs[~empty]
    ons.sort()
    ons += ~_changes(ons & VELOCITY_MASK << VELOCITY_AT, edges.velocity << VELOCITY_AT)
    events: Ints = np.concatenate([ons, offs])
    events.sort()
    return events, with_empty


def _differences(values: Ints) -> Ints:
    """`np.diff(values, prepend=0)` at a third of its cost."""
    result = values.copy()
    result[1:] -= values[:-1]
    return result


def _changes(values: NDArray[Int], before: int = NONE) -> NDArray[np.bool_]:
    """Which values are not the same as the one before; the first has `before`, or none where that is negative."""
    result = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=result[1:])
    if before >= 0 and len(values):
        result[0] = values.item(0) != before
    return result

"""Notes on the step grid → ids, by sorting packed integers; no Python loop over notes.

Within one step the order is: NOTE_OFFs of notes begun earlier, then notes that begin and end there (ON, OFF), then ONs
of lasting notes; each of the three by part, then velocity, then pitch, so that few PART and VELOCITY ids are needed.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from aurl.midi.score import Ints
from aurl.tokens.timing import STEP_BITS
from aurl.tokens.vocabulary import MAX_SHIFT_STEPS, NOTE_OFF, NOTE_ON, PART, TIME_SHIFT, VELOCITY

VELOCITY_BITS, PITCH_BITS, PART_BITS = 3, 7, 5
LANE_BITS = PART_BITS + PITCH_BITS
"""A lane is part * 128 + pitch: where at most one note sounds at a time."""
STEP_MASK, PITCH_MASK = (1 << STEP_BITS) - 1, (1 << PITCH_BITS) - 1
OFF_PHASE, EMPTY_PHASE, ON_PHASE = range(3)
PART_SHIFT = VELOCITY_BITS + PITCH_BITS
PHASE_SHIFT = PART_BITS + PART_SHIFT
ROW_BITS = 2 + PHASE_SHIFT
"""Everything about an event but its step."""
ROW_MASK, VELOCITY_MASK, PART_MASK = (1 << ROW_BITS) - 1, (1 << VELOCITY_BITS) - 1, (1 << PART_BITS) - 1

Int = TypeVar("Int", np.int64, np.int32)


@dataclass(frozen=True, slots=True)
class GridNotes:
    """Notes on the step grid, in any order, all columns int64.

    Args:
        onset: steps.
        offset: steps, ≥ onset.
        lane: part * 128 + pitch.
        velocity: level 0–5.
    """

    onset: Ints
    offset: Ints
    lane: Ints
    velocity: Ints


def without_overlaps(notes: GridNotes, *, merge_unisons: bool) -> tuple[GridNotes, dict[str, int]]:
    """At most one note at a time in each lane.

    A note that still sounds where the next of its lane begins ends there (`same_pitch_overlap`). Of notes that begin
    together, all but the longest so become empty ones; `merge_unisons` makes them one note, the longest and loudest
    (`unison_merged`).
    """
    key = notes.lane << STEP_BITS | notes.onset
    key = np.sort(key << (STEP_BITS + VELOCITY_BITS) | (notes.offset - notes.onset) << VELOCITY_BITS | notes.velocity)
    begin = key >> (STEP_BITS + VELOCITY_BITS)
    velocity = key & VELOCITY_MASK
    duration = key >> VELOCITY_BITS & STEP_MASK
    repairs = {}
    if merge_unisons:
        first = np.flatnonzero(np.diff(begin, prepend=-1))
        if merged := len(begin) - len(first):
            repairs["unison_merged"] = merged
            last = np.append(first[1:], len(begin)) - 1
            begin, duration, velocity = begin[last], duration[last], np.maximum.reduceat(velocity, first)
    # With the lane in the high bits, "the next of the same lane begins earlier" is one comparison.
    end = begin + duration
    overlaps = int(np.count_nonzero(end[:-1] > begin[1:]))
    if overlaps:
        repairs["same_pitch_overlap"] = overlaps
        np.minimum(end[:-1], begin[1:], out=end[:-1])
    lane = begin >> STEP_BITS
    return GridNotes(begin & STEP_MASK, end - (lane << STEP_BITS), lane, velocity), repairs


def body_ids(notes: GridNotes, *, parts: bool) -> NDArray[np.uint16]:
    """Ids of notes that do not overlap within a lane; with `parts`, PART ids say whose they are."""
    if not len(notes.onset):
        return np.empty(0, np.uint16)
    events = _events(notes)
    row = (events & ROW_MASK).astype(np.int32)
    phase, pitch = row >> PHASE_SHIFT, row & PITCH_MASK
    gap = _differences(events >> ROW_BITS, before=0)
    shift_count = (gap + (MAX_SHIFT_STEPS - 1)) // MAX_SHIFT_STEPS
    velocities, levels = _velocity_changes(phase, row >> PITCH_BITS & VELOCITY_MASK)
    part = row >> PART_SHIFT & PART_MASK
    switches = np.flatnonzero(_differences(part, before=-1) != 0) if parts else velocities[:0]

    # How many ids each event takes says where they go; what is not written then stays a full TIME_SHIFT.
    note_count = 1 + (phase == EMPTY_PHASE)
    count = shift_count + note_count
    count[velocities] += 1
    count[switches] += 1
    end = np.cumsum(count)
    after_shifts = end - count + shift_count
    ids = np.full(end[-1], TIME_SHIFT.stop - 1, np.uint16)
    shifts = np.flatnonzero(gap > 0)
    rest = gap.take(shifts) - (shift_count.take(shifts) - 1) * MAX_SHIFT_STEPS
    ids[after_shifts.take(shifts) - 1] = rest + (TIME_SHIFT.start - 1)
    ids[after_shifts.take(switches)] = part.take(switches) + PART.start
    note_place = end - note_count
    ids[note_place.take(velocities) - 1] = levels + VELOCITY.start
    ids[end - 1] = pitch + NOTE_OFF.start
    onsets = np.flatnonzero(phase > OFF_PHASE)
    ids[note_place.take(onsets)] = pitch.take(onsets) + NOTE_ON.start
    return ids


def _events(notes: GridNotes) -> Ints:
    """Sorted events: step | phase | part | velocity | pitch from high bits to low; velocity is 0 in the OFF phase."""
    empty = notes.onset == notes.offset
    pitch = notes.lane & PITCH_MASK
    off = pitch | (notes.lane >> PITCH_BITS) << PART_SHIFT
    phase = (ON_PHASE - empty) << PHASE_SHIFT
    ons = notes.onset << ROW_BITS | phase | off | notes.velocity << PITCH_BITS
    offs = notes.offset << ROW_BITS | off
    if empty.any():
        offs = offs[~empty]
    events: Ints = np.concatenate([ons, offs])
    events.sort()
    return events


def _velocity_changes(phase: NDArray[np.int32], level: NDArray[np.int32]) -> tuple[Ints, NDArray[np.int32]]:
    """Which events need a VELOCITY id before them, and the levels that these say; NOTE_OFFs have none."""
    onsets = np.flatnonzero(phase > OFF_PHASE)
    levels = level.take(onsets)
    changed = np.flatnonzero(_differences(levels, before=-1) != 0)
    return onsets.take(changed), levels.take(changed)


def _differences(values: NDArray[Int], *, before: int) -> NDArray[Int]:
    """`np.diff(values, prepend=before)` at a third of its cost."""
    result = np.empty_like(values)
    result[0] = values[0] - before
    np.subtract(values[1:], values[:-1], out=result[1:])
    return result

"""Notes on the step grid → ids, by sorting packed integers; no Python loop over notes.

Within one step the order is: NOTE_OFFs of notes begun earlier, then notes that begin and end there (ON, OFF), then ONs
of lasting notes; each of the three by part, then velocity, then pitch, so that few PART and VELOCITY ids are needed.
"""

from dataclasses import dataclass

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
PHASE_BITS = 2
ROW_BITS = PHASE_BITS + PART_BITS + VELOCITY_BITS + PITCH_BITS
"""Everything about an event but its step."""
ABSENT = np.uint16(0xFFFF)


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
    velocity = key & ((1 << VELOCITY_BITS) - 1)
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
    step = events >> ROW_BITS
    row = (events & ((1 << ROW_BITS) - 1)).astype(np.int32)
    phase = row >> (PART_BITS + VELOCITY_BITS + PITCH_BITS)
    part = row >> (VELOCITY_BITS + PITCH_BITS) & ((1 << PART_BITS) - 1)
    velocity = row >> PITCH_BITS & ((1 << VELOCITY_BITS) - 1)
    pitch = row & PITCH_MASK

    # One row of cells for each event: the ids that it may need, most of them absent.
    gap = np.diff(step, prepend=0)
    columns = [np.where(gap > 0, TIME_SHIFT.start - 1 + _rest(gap), ABSENT)]
    if parts:
        columns.append(np.where(np.diff(part, prepend=-1) != 0, PART.start + part, ABSENT))
    columns.append(_velocity_column(phase, velocity))
    columns.append(pitch + np.where(phase == OFF_PHASE, NOTE_OFF.start, NOTE_ON.start))
    if (phase == EMPTY_PHASE).any():
        columns.append(np.where(phase == EMPTY_PHASE, NOTE_OFF.start + pitch, ABSENT))
    cells = np.empty((len(events), len(columns)), np.uint16)
    for index, column in enumerate(columns):
        cells[:, index] = column
    cells = _with_full_shifts(cells, gap)
    ids = cells.reshape(-1)
    return ids[ids != ABSENT]


def _events(notes: GridNotes) -> Ints:
    """Sorted events: step | phase | part | velocity | pitch from high bits to low; velocity is 0 in the OFF phase."""
    empty = notes.onset == notes.offset
    pitch = notes.lane & PITCH_MASK
    off = pitch | (notes.lane >> PITCH_BITS) << (VELOCITY_BITS + PITCH_BITS)
    phase = (ON_PHASE - empty) << (PART_BITS + VELOCITY_BITS + PITCH_BITS)
    ons = notes.onset << ROW_BITS | phase | off | notes.velocity << PITCH_BITS
    offs = notes.offset << ROW_BITS | off
    if empty.any():
        offs = offs[~empty]
    events: Ints = np.concatenate([ons, offs])
    events.sort()
    return events


def _velocity_column(phase: NDArray[np.int32], velocity: NDArray[np.int32]) -> NDArray[np.uint16]:
    column = np.full(len(phase), ABSENT)
    onsets = np.flatnonzero(phase)
    levels = velocity[onsets]
    changed = np.diff(levels, prepend=-1) != 0
    column[onsets[changed]] = VELOCITY.start + levels[changed]
    return column


def _rest(gap: Ints) -> Ints:
    """Steps left for the last TIME_SHIFT of each gap, 1–512 where the gap is not 0."""
    if int(gap.max()) <= MAX_SHIFT_STEPS:
        return gap
    rest: Ints = (gap - 1) % MAX_SHIFT_STEPS + 1
    return rest


def _with_full_shifts(cells: NDArray[np.uint16], gap: Ints) -> NDArray[np.uint16]:
    """A row with one TIME_SHIFT of 512 before each event for each 512 steps that its own TIME_SHIFT does not hold."""
    full = (gap - 1) // MAX_SHIFT_STEPS
    if int(full.max()) < 1:
        return cells
    row = np.full(cells.shape[1], ABSENT)
    row[0] = TIME_SHIFT.stop - 1
    spread: NDArray[np.uint16] = np.insert(cells, np.repeat(np.arange(len(cells)), full.clip(0)), row, axis=0)
    return spread

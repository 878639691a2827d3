"""The notes of a passage as columns, and back to ids by the encoder's own ordering."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aurl.midi.score import Ints
from aurl.tokens.encode import Edges, GridNotes, body_ids, lanes
from aurl.tokens.positions import elapsed_steps
from aurl.tokens.vocabulary import EOS, MAX_SHIFT_STEPS, NOTE_OFF, PART, TIME_SHIFT, VELOCITY, Group

Ids = NDArray[np.uint16]
PITCH_MASK = 0x7F


@dataclass(slots=True)
class PassageNotes:
    """Notes that begin or end in a passage, in order of (lane, time).

    Args:
        onset: steps from the start of the piece; where the passage begins for notes that sound already.
        offset: steps; where the passage ends for notes that still sound.
        lane: `aurl.tokens.encode.lanes`.
        velocity: level 0–5; means nothing for notes that sound already.
        begins: which notes begin in the passage.
        ends: which notes end in it.
        end: step at which the passage ends.
    """

    onset: Ints
    offset: Ints
    lane: Ints
    velocity: Ints
    begins: NDArray[np.bool_]
    ends: NDArray[np.bool_]
    end: int


def running(body: Ids, group: Group, before: int) -> Ints:
    """The value of `group` that is in force at each id; `before` until one is given."""
    sets = body - np.uint16(group.start) < group.size  # ids below the group wrap around to large numbers
    values = np.append(before, body[sets].astype(np.int64) - group.start)
    return values[np.cumsum(sets)]


def read_notes(body: Ids, *, start_step: int, part: int, velocity: int) -> PassageNotes:
    """The notes of `body`, ids that follow the grammar; the others say what is in force where it begins."""
    step = elapsed_steps(body, start_steps=start_step)
    end = int(step[-1]) if len(step) else start_step
    at = (body < NOTE_OFF.stop).nonzero()[0]
    note, time = body[at].astype(np.int64), step[at]
    level = running(body, VELOCITY, velocity)[at]
    lane = lanes(running(body, PART, max(part, 0))[at], note & PITCH_MASK)

    order = np.argsort(lane.astype(np.uint16), kind="stable")  # 16 bits: sorted by radix, in linear time
    is_on, lane = note[order] < NOTE_OFF.start, lane[order]
    closes = np.zeros(len(order) + 1, np.bool_)
    closes[1:-1] = is_on[:-1] & ~is_on[1:] & (lane[1:] == lane[:-1])
    first = (~closes[:-1]).nonzero()[0]
    closed = closes[first + 1]
    begins = is_on[first]
    ends = closed | ~begins
    onset = np.where(begins, time[order[first]], start_step)
    offset = np.where(ends, time[order[first + closed]], end)
    return PassageNotes(onset, offset, lane[first], level[order[first]], begins, ends, end)


def spell(notes: PassageNotes, *, start_step: int, part: int, velocity: int, parts: bool, is_last: bool) -> Ids:
    """The body that `notes` make.

    Args:
        notes: at least as late as `start_step`.
        start_step: where the body begins.
        part: in force there, like `velocity`; needs no telling.
        velocity: level.
        parts: whether streams have PART ids.
        is_last: whether the piece ends with the last note; otherwise silence follows up to the end of the passage.
    """
    grid = GridNotes(notes.onset, notes.offset - notes.onset, notes.lane, notes.velocity)
    ids = body_ids(grid, parts=parts, edges=Edges(notes.begins, notes.ends, start_step, part, velocity))
    return np.concatenate([ids, [EOS] if is_last else _silence(notes, start_step)], dtype=np.uint16, casting="unsafe")


def _silence(notes: PassageNotes, start_step: int) -> list[int]:
    """TIME_SHIFTs from the last event to the end of the passage."""
    last = max(notes.onset[notes.begins].max(initial=start_step), notes.offset[notes.ends].max(initial=start_step))
    full, rest = divmod(max(notes.end - int(last), 0), MAX_SHIFT_STEPS)
    return [TIME_SHIFT.stop - 1] * full + [TIME_SHIFT.start + rest - 1] * bool(rest)

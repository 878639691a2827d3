"""Ids → notes on the step grid. Any sequence is taken: models make mistakes, and windows begin anywhere."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aurl.midi.score import Ints
from aurl.tokens.velocity import DEFAULT_BIN
from aurl.tokens.vocabulary import (
    EOS,
    MASK,
    NOTE_OFF,
    PART,
    PROGRAM,
    TIME_SHIFT,
    VELOCITY,
    VOCABULARY_SIZE,
    Group,
)

PITCHES = 128


@dataclass(frozen=True, slots=True)
class StepNotes:
    """The notes of a stream in order of (part, pitch, onset), all columns int64.

    Args:
        part: 0–31.
        pitch: 0–127.
        velocity: level 0–5.
        onset: steps.
        offset: steps, ≥ onset.
        programs: PROGRAM value of each declared part.
        end: step at which the stream ends.
    """

    part: Ints
    pitch: Ints
    velocity: Ints
    onset: Ints
    offset: Ints
    programs: dict[int, int]
    end: int


def clean(ids: ArrayLike) -> Ints:
    """Ids as int64 up to the first EOS; what is no id becomes MASK, which means nothing."""
    flat = np.asarray(ids).astype(np.int64).reshape(-1)
    flat = np.where((flat >= 0) & (flat < VOCABULARY_SIZE), flat, MASK)
    ends = np.flatnonzero(flat == EOS)
    return flat[: ends[0]] if len(ends) else flat


def read_notes(ids: ArrayLike) -> StepNotes:
    """The notes that `ids` spell.

    A NOTE_OFF without its NOTE_ON means nothing; a NOTE_ON in a lane that still sounds ends the note before; what
    sounds at the end of the stream ends there. Notes before any PART belong to the first part declared, or to part 0.
    """
    stream = clean(ids)
    step = np.cumsum(np.where(_among(stream, TIME_SHIFT), stream - TIME_SHIFT.start + 1, 0))
    end = int(step[-1]) if len(step) else 0
    programs, declares = _declared(stream)
    events = np.flatnonzero(stream < NOTE_OFF.stop)
    part = _running(stream, _among(stream, PART) & ~declares, PART, min(programs, default=0))[events]
    velocity = _running(stream, _among(stream, VELOCITY), VELOCITY, DEFAULT_BIN)[events]
    is_on, pitch = stream[events] < NOTE_OFF.start, stream[events] % PITCHES

    order = np.argsort(part * PITCHES + pitch, kind="stable")
    lane, time = (part * PITCHES + pitch)[order], step[events][order]
    follows = np.append(lane[1:] == lane[:-1], False)[: len(lane)]
    until = np.where(follows, np.append(time[1:], end)[: len(lane)], end)
    ons = is_on[order]
    notes = order[ons]
    return StepNotes(part[notes], pitch[notes], velocity[notes], time[ons], until[ons], programs, end)


def _among(ids: Ints, group: Group) -> NDArray[np.bool_]:
    return (ids >= group.start) & (ids < group.stop)


def _declared(ids: Ints) -> tuple[dict[int, int], NDArray[np.bool_]]:
    """Part → program, in order of part, and which PART ids only declare one (a PROGRAM follows)."""
    declares = np.zeros(len(ids), np.bool_)
    declares[:-1] = _among(ids, PART)[:-1] & _among(ids, PROGRAM)[1:]
    at = np.flatnonzero(declares)
    parts, last = np.unique((ids[at] - PART.start)[::-1], return_index=True)
    programs = (ids[at + 1] - PROGRAM.start)[::-1][last]
    return dict(zip(parts.tolist(), programs.tolist(), strict=True)), declares


def _running(ids: Ints, sets: NDArray[np.bool_], group: Group, default: int) -> Ints:
    """The value in force at each id: that of the last id in `sets`."""
    if not len(ids):
        return ids
    last = np.maximum.accumulate(np.where(sets, np.arange(len(ids)), -1))
    return np.where(last >= 0, ids[last] - group.start, default)

"""Chords among the ids of a body: each is told before the first note that it holds for."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aurl.augment.notes import Ids
from aurl.controls.facts import Played
from aurl.midi.score import Ints
from aurl.studies.chords import estimate_chords
from aurl.tokens.positions import elapsed_steps
from aurl.tokens.vocabulary import CHORD, NOTE_ON, PART, STEPS_PER_BEAT, VELOCITY, Group

LONGEST_UNDIVIDED = 3 * STEPS_PER_BEAT
"""Bars up to this length have one chord; longer ones may have another in their second half."""
WITHOUT_BARS = 2 * STEPS_PER_BEAT
"""How long a chord lasts at least where nobody knows bars: a second in time base "seconds"."""


class Chords(NamedTuple):
    """Which chord holds when.

    Args:
        step: (n,) where each begins, rising.
        value: (n,) CHORD values.
    """

    step: Ints
    value: Ints

    def told(self, begin: int) -> "Chords":
        """Those to tell in music that begins at `begin`: the one in force there, and each that is another one."""
        first = max(int(self.step.searchsorted(begin, side="right")) - 1, 0)
        step, value = np.maximum(self.step[first:], begin), self.value[first:]
        changes = np.ones(len(value), np.bool_)
        changes[1:] = value[1:] != value[:-1]
        return Chords(step[changes], value[changes])


def span_steps(bar_steps: int | None) -> int:
    """How long a chord lasts at least: half a bar, or all of a short or odd one; None: nobody knows bars."""
    if bar_steps is None:
        return WITHOUT_BARS
    return bar_steps // 2 if bar_steps > LONGEST_UNDIVIDED and bar_steps % 2 == 0 else bar_steps


def chords_of(played: Played, *, start_step: int, bar_steps: int | None) -> Chords:
    """The chords of some music that begins at `start_step`, one for each span of the bars counted from step 0."""
    size = span_steps(bar_steps)
    first, last = start_step // size, -(-(start_step + played.steps) // size)
    edges = np.arange(first, last + 1) * size
    heard = played.is_pitched
    value = estimate_chords(played.onset[heard], played.offset[heard], played.pitch[heard], spans=edges)
    return Chords(edges[:-1], value)


def with_chords(body: Ids, chords: Chords, *, start_step: int) -> tuple[Ids, Ints]:
    """A body with its chords told, and in front of which of its ids they stand, rising.

    A chord of a time in which no note begins is not told.
    """
    ons = np.flatnonzero(body < NOTE_ON.stop)
    told = chords.told(start_step)
    if not len(ons):
        return body, np.empty(0, np.int64)
    time = elapsed_steps(body, start_steps=start_step)[ons]
    note = time.searchsorted(told.step)
    until = time.searchsorted(np.append(told.step[1:], np.iinfo(np.int64).max))
    heard = note < until
    place = _announced(body, ons[note[heard]])
    ids = (CHORD.start + told.value[heard]).astype(np.uint16)
    return np.insert(body, place, ids), place


def _announced(body: Ids, place: Ints) -> Ints:
    """Where the VELOCITY and the PART of notes stand, or the notes themselves."""
    for group in (VELOCITY, PART):
        place = place - (_is(body, place - 1, group) & (place > 0))
    return place


def _is(body: Ids, place: Ints, group: Group) -> NDArray[np.bool_]:
    ids = body[place]
    return (ids >= group.start) & (ids < group.stop)

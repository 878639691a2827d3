"""What is measured of music, so that a header can tell it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aurl.augment.notes import PITCH_MASK, PassageNotes
from aurl.midi.score import Ints
from aurl.studies.key import estimate_key
from aurl.tokens.encode import PART_IN_LANE
from aurl.tokens.vocabulary import ATTRIBUTE_BINS, STEPS_PER_BEAT, Fact

LEAST_STEPS = STEPS_PER_BEAT
"""Music shorter than a beat is measured as if it lasted one."""


@dataclass(frozen=True, slots=True)
class Played:
    """Notes on the step grid.

    Args:
        onset: steps.
        offset: steps.
        pitch: 0–127.
        level: velocity level 0–5.
        is_pitched: which notes are no drums'.
        begins: which notes begin in the music that is measured, and do not only go on in it.
        steps: how long that is.
    """

    onset: Ints
    offset: Ints
    pitch: Ints
    level: Ints
    is_pitched: NDArray[np.bool_]
    begins: NDArray[np.bool_]
    steps: int

    @classmethod
    def of(cls, notes: PassageNotes, *, start_step: int, is_drum: NDArray[np.bool_]) -> "Played":
        """The notes of a passage; `is_drum` (32,) tells which parts are drum kits."""
        pitched = ~is_drum[notes.lane >> PART_IN_LANE]
        return cls(
            notes.onset,
            notes.offset,
            notes.lane & PITCH_MASK,
            notes.velocity,
            pitched,
            notes.begins,
            max(notes.end - start_step, LEAST_STEPS),
        )

    def taken(self, chosen: NDArray[np.bool_]) -> "Played":
        """Some of the notes, in the same time."""
        onset, offset, pitch, level = (column[chosen] for column in (self.onset, self.offset, self.pitch, self.level))
        return Played(onset, offset, pitch, level, self.is_pitched[chosen], self.begins[chosen], self.steps)


def density(played: Played) -> float | None:
    """Notes that begin in a beat, drums and all."""
    return int(played.begins.sum()) * STEPS_PER_BEAT / played.steps


def polyphony(played: Played) -> float | None:
    """How many pitched notes sound at once, on average over the time in which any does; None where none does."""
    onset, offset = played.onset[played.is_pitched], played.offset[played.is_pitched]
    lasting = offset > onset
    if not lasting.any():
        return None
    edges = np.concatenate([onset[lasting], offset[lasting]])
    order = edges.argsort(kind="stable")
    count = np.cumsum(np.repeat([1, -1], len(edges) // 2)[order])[:-1]
    lengths = np.diff(edges[order])
    return float((count * lengths).sum() / lengths[count > 0].sum())


def register(played: Played) -> float | None:
    """Mean pitch of the notes that begin, None without pitched ones."""
    pitch = played.pitch[played.is_pitched & played.begins]
    return float(pitch.mean()) if len(pitch) else None


def dynamics(played: Played) -> float | None:
    """Mean velocity level of the notes that begin, 0 to 5; None without any."""
    level = played.level[played.begins]
    return float(level.mean()) if len(level) else None


MEASURES: dict[Fact, Callable[[Played], float | None]] = {
    "density": density,
    "polyphony": polyphony,
    "register": register,
    "dynamics": dynamics,
}


@dataclass(frozen=True, slots=True)
class Scale:
    """How a number becomes one of eight values: the nearest of as many centres.

    Args:
        low: the first centre.
        high: the last.
        is_log: they are evenly spaced in logarithm.
    """

    low: float
    high: float
    is_log: bool = False

    def value(self, number: float) -> int:
        """The nearest value; the ends beyond them."""
        low, high, at = (self._spaced(one) for one in (self.low, self.high, max(number, 0.0)))
        place = (at - low) / (high - low) * (ATTRIBUTE_BINS - 1)
        return min(max(round(place), 0), ATTRIBUTE_BINS - 1)

    def number(self, value: int) -> float:
        """The centre of a value."""
        low, high = self._spaced(self.low), self._spaced(self.high)
        at = low + (high - low) * value / (ATTRIBUTE_BINS - 1)
        return math.exp(at) if self.is_log else at

    def _spaced(self, number: float) -> float:
        return math.log(max(number, LEAST_NUMBER)) if self.is_log else number


LEAST_NUMBER = 1e-3
SCALES: dict[Fact, Scale] = {
    "density": Scale(1.0, 12.0, is_log=True),
    "polyphony": Scale(1.0, 8.0, is_log=True),
    "register": Scale(45.0, 80.0),
    "dynamics": Scale(0.0, 5.0),
}
"""Centres of the values: notes in a beat, notes at once, pitch, velocity level."""


def fact_value(name: Fact, played: Played) -> int | None:
    """What a header tells of music; None where there is nothing to tell."""
    if name == "key":
        heard = played.is_pitched
        key = estimate_key(played.pitch[heard], np.maximum((played.offset - played.onset)[heard], 1))
        return None if key is None else key.value
    number = MEASURES[name](played)
    return None if number is None else SCALES[name].value(number)

"""Not too many notes in a stretch of time, and rarely too few."""

from fractions import Fraction
from math import ceil, floor
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le

from aurl.errors import UsageError
from aurl.generation.constraints.beat import beat_steps
from aurl.generation.constraints.kinds import CONSTRAINTS, Rule
from aurl.generation.constraints.pitches import pitched
from aurl.generation.constraints.row import FORBIDDEN, Bias, Row
from aurl.generation.constraints.thinning import thinned
from aurl.midi.score import Score
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import DRUM_PROGRAM, MAX_SHIFT_STEPS, NOTE_ON, TIME_SHIFT, TimeBase

MAX_BEATS = 16
"""What the longest TIME_SHIFT lasts: after it notes may begin again."""
URGE = 3.0
"""Nats by which waiting gets unlikelier for each mean distance of notes that it is too long."""


@CONSTRAINTS.register("density")
def density(
    codec: Codec,
    *,
    most: Annotated[float, Gt(0)] | None = None,
    least: Annotated[float, Ge(0)] = 0.0,
    beats: Annotated[float, Gt(0), Le(MAX_BEATS)] = 4.0,
) -> "Density":
    """Notes per beat, counted over the last beats; drums do not count.

    The upper limit is kept everywhere; below the lower one waiting only gets unlikely. A finished piece is mended by
    leaving out what is least heard: inner notes off the beat first.

    Args:
        codec: of the ids.
        most: notes per beat that no stretch of `beats` exceeds; without it there is no limit.
        least: notes per beat below which pieces are urged on; 0: they are not.
        beats: how long the stretch is.
    """
    return Density(codec.time_base, most=most, least=least, beats=beats)


class Density(Rule):
    """See `density`.

    Raises:
        UsageError: not one note would be allowed, or the limits are in the wrong order.
    """

    def __init__(self, time_base: TimeBase, *, most: float | None, least: float, beats: float) -> None:
        self._limit = None if most is None else floor(most * beats)
        if self._limit == 0:
            hint = f"allow more, or count over {ceil(1 / (most or 1))} beats or more"
            raise UsageError(f"{most:g} notes per beat are less than one in {beats:g} beats", hint=hint)
        if most is not None and least > most:
            raise UsageError(
                f"at least {least:g} and at most {most:g} notes per beat", hint="give the smaller one first"
            )
        self._least, self._wanted = least, ceil(least * beats)
        self._beats, self._time_base = Fraction(beats), time_base

    def restrict(self, row: Row, bias: Bias) -> None:
        """No NOTE_ON where the stretch is full, nor waiting in silence until before it is not; and no long waiting."""
        beat = beat_steps(row, self._time_base)
        stretch = ceil(self._beats * beat)
        if self._limit is not None and len(row.onsets) >= self._limit and not row.is_drum(row.part):
            wait = row.onsets[-self._limit] + stretch - row.step
            if wait > 0:
                bias[NOTE_ON.start : NOTE_ON.stop] = FORBIDDEN
                self._wait(row, bias, wait)
        if self._wanted and (len(row.onsets) < self._wanted or row.onsets[-self._wanted] <= row.step - stretch):
            self._urge(row, bias, float(beat) / self._least)

    def mend(self, score: Score) -> Score:
        """Notes of full stretches are left out."""
        return score if self._limit is None else thinned(score, self._limit, self._stretch(score))

    def broken(self, score: Score) -> list[str]:
        """Stretches with too many notes."""
        if self._limit is None:
            return []
        onsets = sorted(tick for notes in pitched(score) for tick in notes.onset.tolist())
        what = f"more than {self._limit} notes begin within {float(self._beats):g} beats"
        return [
            f"{what} from beat {first / score.ticks_per_beat:g} on"
            for first, last in zip(onsets, onsets[self._limit :], strict=False)
            if last - first < self._stretch(score) - 1
        ]

    def _stretch(self, score: Score) -> int:
        return ceil(self._beats * score.ticks_per_beat)

    def _wait(self, row: Row, bias: Bias, steps: int) -> None:
        if not row.begun and DRUM_PROGRAM not in row.programs:
            reach = min(max(row.left - 1, 0), MAX_SHIFT_STEPS, steps - 1)
            bias[TIME_SHIFT.start : TIME_SHIFT.start + reach] = FORBIDDEN

    def _urge(self, row: Row, bias: Bias, distance: float) -> None:
        """Lower TIME_SHIFTs by as much as they lead further than `distance` steps from the last onset."""
        last = row.onsets[-1] if row.onsets else row.begin_step
        free = min(max(floor(distance) - (row.step - last), 1), MAX_SHIFT_STEPS)
        bias[TIME_SHIFT.start + free : TIME_SHIFT.stop] -= _RAMP[: MAX_SHIFT_STEPS - free] * (URGE / distance)


_RAMP = np.arange(1, MAX_SHIFT_STEPS + 1, dtype=np.float32)

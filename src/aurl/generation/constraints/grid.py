"""Notes begin on a rhythm grid."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated

import numpy as np
from annotated_types import MinLen

from aurl.generation.constraints.beat import beat_steps
from aurl.generation.constraints.kinds import CONSTRAINTS, Rule
from aurl.generation.constraints.row import FORBIDDEN, Bias, Row
from aurl.midi.score import DEFAULT_TEMPO, Score, Tempos
from aurl.preprocess.grid import Grid, grid_beats
from aurl.preprocess.quantize import quantize
from aurl.tokens.codec import Codec
from aurl.tokens.timing import STEP_MICROSECONDS
from aurl.tokens.vocabulary import MAX_SHIFT_STEPS, NOTE_ON, STEPS_PER_BEAT, TIME_SHIFT, TimeBase


@CONSTRAINTS.register("grid")
def grid(codec: Codec, *, grid: Grid | Annotated[tuple[Grid, ...], MinLen(1)] = "1/16") -> "RhythmGrid":
    """Notes begin on the points of a grid, drums too; where they end is free.

    Points count from the start of the piece. They lie on the nearest steps, where triplets fall between two of them. In
    time base "seconds" beats are those of the tempo that a piece's header tells. A finished piece is mended as the
    preprocessing step `quantize` does it, ends of notes too.

    Args:
        codec: of the ids.
        grid: distance of the points as a note value, "t" for triplets; or several, whose points all count.
    """
    return RhythmGrid((grid,) if isinstance(grid, str) else tuple(grid), codec.time_base)


class RhythmGrid(Rule):
    """See `grid`."""

    def __init__(self, grids: Sequence[Grid], time_base: TimeBase) -> None:
        self._beats = [grid_beats(one) for one in grids]
        self._names = ", ".join(grids)
        self._time_base: TimeBase = time_base
        self._quantize = quantize(grid=tuple(grids))
        self._tables: dict[int, Bias] = {}

    def restrict(self, row: Row, bias: Bias) -> None:
        """No NOTE_ON between points; and no TIME_SHIFT to there where nothing sounds that could end there."""
        table = self._table(row)
        if table[row.step]:
            bias[NOTE_ON.start : NOTE_ON.stop] = FORBIDDEN
        if not row.begun:
            reach = min(max(row.left - 1, 0), MAX_SHIFT_STEPS)
            bias[TIME_SHIFT.start : TIME_SHIFT.start + reach] += table[row.step + 1 : row.step + 1 + reach]

    def mend(self, score: Score) -> Score:
        """Notes move to the grid."""
        return self._quantize(score)

    def broken(self, score: Score) -> list[str]:
        """Onsets that are further from every point than steps and ticks are wide."""
        return [
            f"a note begins at beat {tick / score.ticks_per_beat:g}, which is not on the grid {self._names}"
            for track in score.tracks
            for tick in np.unique(track.notes.onset).tolist()
            if not self._is_near(Fraction(tick, score.ticks_per_beat), self._tolerance(score, tick))
        ]

    def _is_near(self, beat: Fraction, tolerance: Fraction) -> bool:
        return any(abs(beat - round(beat / step) * step) <= tolerance for step in self._beats)

    def _tolerance(self, score: Score, tick: int) -> Fraction:
        """Half a step and half a tick, in beats."""
        step = Fraction(1, STEPS_PER_BEAT)
        if self._time_base == "seconds":
            step = Fraction(STEP_MICROSECONDS, _tempo_at(score.tempos, tick))
        return (step + Fraction(1, score.ticks_per_beat)) / 2

    def _table(self, row: Row) -> Bias:
        """0 at each step that is a point, `FORBIDDEN` at all others; at least to where one TIME_SHIFT leads."""
        table = self._tables.get(row.tempo)
        needed = row.step + MAX_SHIFT_STEPS + 1
        if table is None or len(table) < needed:
            beat = beat_steps(row, self._time_base)
            table = self._tables[row.tempo] = _between([beats * beat for beats in self._beats], 2 * needed)
        return table


def _between(distances: Sequence[Fraction], steps: int) -> Bias:
    """(steps,): 0 at the steps nearest to multiples of any distance, `FORBIDDEN` at the others."""
    table = np.full(steps, FORBIDDEN, np.float32)
    for distance in distances:
        part, whole = distance.as_integer_ratio()
        points = (2 * np.arange(int(steps / distance) + 1) * part + whole) // (2 * whole)
        table[points[points < steps]] = 0
    return table


def _tempo_at(tempos: Tempos, tick: int) -> int:
    """Microseconds per beat at a tick."""
    at = int(np.searchsorted(tempos.tick, tick, side="right")) - 1
    return DEFAULT_TEMPO if at < 0 else max(int(tempos.microseconds_per_beat[at]), 1)

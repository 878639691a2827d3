"""Chords that were asked for, told where each of them begins."""

from collections.abc import Sequence

from aurl.generation.constraints.kinds import Rule
from aurl.generation.constraints.row import FORBIDDEN, Bias, Row
from aurl.generation.length import header_clock
from aurl.tokens.rules import CHORD_STAGES, Stage
from aurl.tokens.vocabulary import CHORD, NOTE_ON, PART, SEP, VELOCITY, TimeBase


class ToldChords(Rule):
    """A round of chords from the first full bar of new music on; the first of them holds before it, too.

    The model is told each before the first note that begins in its time; it tells none of its own.

    Args:
        values: CHORD values, at least one.
        bars: how many bars each of them lasts.
        time_base: of the ids.
    """

    def __init__(self, values: Sequence[int], *, bars: float, time_base: TimeBase) -> None:
        self._values, self._bars, self._time_base = values, bars, time_base

    def restrict(self, row: Row, bias: Bias) -> None:
        """The model tells no chords."""
        bias[CHORD.start : CHORD.stop] = FORBIDDEN

    def force(self, row: Row, chosen: int) -> int:
        """The chord, where a note is about to begin and the one told last is that of another time."""
        if row.stage not in CHORD_STAGES or not _strikes(row, chosen):
            return chosen
        number = self._number(row, row.step)
        if row.chord_step >= row.begin_step and number == self._number(row, row.chord_step):
            return chosen
        return CHORD.start + self._values[number % len(self._values)]

    def _number(self, row: Row, step: int) -> int:
        """How many chords of the round have passed at a step."""
        clock = header_clock(row.ids[: row.ids.index(SEP)])
        bar = clock.steps(clock.beats_of_bars(1), self._time_base)
        first = -(-row.begin_step // bar) * bar
        return max(step - first, 0) // max(round(bar * self._bars), 1)


def _strikes(row: Row, chosen: int) -> bool:
    """A note begins, or is announced; a PART in which notes sound may only be there to end one."""
    if PART.start <= chosen < PART.stop:
        return row.stage == Stage.BODY or not row.sounding.get(chosen - PART.start)
    return chosen < NOTE_ON.stop or VELOCITY.start <= chosen < VELOCITY.stop

"""Ticks ↔ steps, in integers throughout, so that nothing drifts however long the piece is."""

import numpy as np
from numpy.typing import NDArray

from aurl.midi.reasons import Rejected, RejectReason
from aurl.midi.score import DEFAULT_TEMPO, Ints, Tempos
from aurl.tokens.vocabulary import STEPS_PER_BEAT, TimeBase

STEP_MICROSECONDS = 15_625
MAX_TICK = 2**31
"""Beyond what a MIDI file can say; keeps the products below inside int64."""
STEP_BITS = 22
MAX_STEPS = 1 << STEP_BITS
"""18 hours at 120 BPM. Hardly anything longer is music, and its TIME_SHIFTs alone could fill the memory."""
MAX_MICROSECONDS_PER_BEAT = (1 << 24) - 1
"""What three bytes can say, the width of a tempo in a MIDI file."""


def to_steps(ticks: Ints, ticks_per_beat: int, tempos: Tempos, time_base: TimeBase) -> Ints:
    """The step nearest to each tick (halves up).

    Raises:
        Rejected: the piece is longer than `MAX_STEPS`.
    """
    end = int(ticks.max(initial=0))
    if end < MAX_TICK:
        if time_base == "beats":
            steps = (2 * STEPS_PER_BEAT * ticks + ticks_per_beat) // (2 * ticks_per_beat)
        else:
            unit = STEP_MICROSECONDS * ticks_per_beat
            steps = (2 * _elapsed(ticks, tempos) + unit) // (2 * unit)
        if int(steps.max(initial=0)) < MAX_STEPS:
            return steps
    raise Rejected(RejectReason.TICK_OVERFLOW, f"ends at tick {end}, past the longest piece of {MAX_STEPS} steps")


def to_ticks(steps: Ints, ticks_per_beat: int, tempos: Tempos, time_base: TimeBase) -> Ints:
    """The tick nearest to each step (halves up): the inverse of `to_steps` on the grid."""
    if time_base == "beats":
        return (2 * ticks_per_beat * steps + STEPS_PER_BEAT) // (2 * STEPS_PER_BEAT)
    start, elapsed, slope = _segments(tempos)
    time = steps * (STEP_MICROSECONDS * ticks_per_beat)
    at = np.searchsorted(elapsed, time, side="right") - 1
    length = slope[at]
    ticks: Ints = start[at] + (2 * (time - elapsed[at]) + length) // (2 * length)
    return ticks


def _elapsed(ticks: Ints, tempos: Tempos) -> Ints:
    """Microseconds x ticks per beat up to each tick: an integer, whatever the tempo map."""
    start, elapsed, slope = _segments(tempos)
    if len(start) == 1:
        return ticks * int(slope[0])
    at = np.searchsorted(start, ticks, side="right") - 1
    result: Ints = elapsed[at] + (ticks - start[at]) * slope[at]
    return result


def _segments(tempos: Tempos) -> tuple[Ints, Ints, Ints]:
    """(first tick, elapsed time there, microseconds per beat) of each stretch of constant tempo."""
    start, slope = tempos.tick, np.clip(tempos.microseconds_per_beat, 1, MAX_MICROSECONDS_PER_BEAT)
    if not len(start) or start[0] > 0:
        start, slope = np.append(0, start), np.append(DEFAULT_TEMPO, slope)
    elapsed: NDArray[np.int64] = np.zeros(len(start), np.int64)
    np.cumsum(np.diff(start) * slope[:-1], out=elapsed[1:])
    return start, elapsed, slope

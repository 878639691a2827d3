"""Where in the music each id stands, computed from the ids alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aurl.midi.score import Ints
from aurl.tokens.vocabulary import STEPS_PER_BEAT, TIME_SHIFT, TIME_SIGNATURE, TIME_SIGNATURES, TimeBase

STEPS_PER_WHOLE_NOTE = 4 * STEPS_PER_BEAT
DEFAULT_BAR_STEPS = STEPS_PER_WHOLE_NOTE
"""4/4."""
_SHIFT_STEPS = np.zeros(2**16, np.int64)
_SHIFT_STEPS[TIME_SHIFT.start : TIME_SHIFT.stop] = np.arange(1, TIME_SHIFT.size + 1)
_BAR_STEPS = np.array([n * STEPS_PER_WHOLE_NOTE // d for n, d in TIME_SIGNATURES])


@dataclass(frozen=True, slots=True)
class Positions:
    """The position of each id, all `(..., T)` int64. A TIME_SHIFT stands at the time that it leads to.

    Args:
        step: steps since the start of the piece.
        beat: whole quarter notes since the start; None in time base "seconds", which knows no beats.
        beat_phase: steps since that beat, 0–31.
        bar: whole bars since the start, in the meter of the header (4/4 without), counted from step 0.
        bar_phase: steps since that bar line.
    """

    step: Ints
    beat: Ints | None = None
    beat_phase: Ints | None = None
    bar: Ints | None = None
    bar_phase: Ints | None = None


def elapsed_steps(ids: ArrayLike, *, start_steps: ArrayLike = 0) -> Ints:
    """`(..., T)`: steps from the start of the piece to each id; `start_steps` `(...)` is where the ids begin."""
    shifts = _SHIFT_STEPS[np.asarray(ids)]
    return np.cumsum(shifts, axis=-1) + np.asarray(start_steps, np.int64)[..., None]


def positions(ids: ArrayLike, *, time_base: TimeBase, start_steps: ArrayLike = 0) -> Positions:
    """Time, beat and bar of each id.

    Args:
        ids: `(..., T)` in 0–65535.
        time_base: that of the codec.
        start_steps: `(...)` steps at which the ids begin; not 0 for windows from within a piece.
    """
    tokens = np.asarray(ids).astype(np.int64)
    step = elapsed_steps(tokens, start_steps=start_steps)
    if time_base == "seconds":
        return Positions(step)
    bar_steps = bar_length(tokens)[..., None]
    return Positions(step, step // STEPS_PER_BEAT, step % STEPS_PER_BEAT, step // bar_steps, step % bar_steps)


def bar_length(ids: ArrayLike) -> NDArray[np.int64]:
    """`(...)`: steps of a bar in the first TIME_SIGNATURE of each row, of 4/4 without one."""
    ids = np.asarray(ids).astype(np.int64)
    if not ids.shape[-1]:
        return np.full(ids.shape[:-1], DEFAULT_BAR_STEPS)
    tells = (ids >= TIME_SIGNATURE.start) & (ids < TIME_SIGNATURE.stop)
    first = np.take_along_axis(ids, tells.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    meter = (first - TIME_SIGNATURE.start).clip(0, TIME_SIGNATURE.size - 1)
    return np.where(tells.any(axis=-1), _BAR_STEPS[meter], DEFAULT_BAR_STEPS)

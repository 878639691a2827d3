"""Ticks, seconds and bars of a score."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aurl.midi.score import DEFAULT_TEMPO, Ints, Score

SECOND_MICROSECONDS = 1_000_000
DEFAULT_METER = (4, 4)
MAX_BARS = 1 << 16
"""More than a day of music at two seconds a bar; what a file says beyond that is not worth the memory."""


def _tempo_map(score: Score) -> tuple[Ints, NDArray[np.float64], NDArray[np.float64]]:
    """(first tick, seconds there, seconds per tick) of each stretch of constant tempo."""
    start, length = score.tempos.tick, np.maximum(score.tempos.microseconds_per_beat, 1)
    if not len(start) or start[0] > 0:
        start, length = np.append(0, start), np.append(DEFAULT_TEMPO, length)
    slope = length / (SECOND_MICROSECONDS * score.ticks_per_beat)
    elapsed = np.concatenate([[0.0], np.cumsum(np.diff(start) * slope[:-1])])
    return start, elapsed, slope


def seconds_at(score: Score, ticks: ArrayLike) -> NDArray[np.float64]:
    """Seconds from the start of `score` to each tick, by its tempo map; 120 BPM where it has none."""
    start, elapsed, slope = _tempo_map(score)
    ticks = np.asarray(ticks, np.int64)
    at = np.maximum(np.searchsorted(start, ticks, side="right") - 1, 0)
    result: NDArray[np.float64] = elapsed[at] + (ticks - start[at]) * slope[at]
    return result


def ticks_at(score: Score, seconds: ArrayLike) -> Ints:
    """The tick nearest to each moment in seconds: the inverse of `seconds_at`."""
    start, elapsed, slope = _tempo_map(score)
    seconds = np.asarray(seconds, np.float64)
    at = np.maximum(np.searchsorted(elapsed, seconds, side="right") - 1, 0)
    result: Ints = start[at] + np.rint((seconds - elapsed[at]) / slope[at]).astype(np.int64)
    return result


def bar_ticks(score: Score, until_tick: int) -> Ints:
    """Ticks at which bars begin, from 0 up to and including `until_tick`; 4/4 where the score names no meter.

    A change of meter begins a bar, also where it cuts one short. Bars after the first `MAX_BARS` are left out.
    """
    meters = score.time_signatures
    start, numerator, denominator = meters.tick, meters.numerator, meters.denominator
    if not len(start) or start[0] > 0:
        start = np.append(0, start)
        numerator, denominator = np.append(DEFAULT_METER[0], numerator), np.append(DEFAULT_METER[1], denominator)
    ends = np.append(start[1:], until_tick + 1)
    lengths = np.maximum(4 * score.ticks_per_beat * numerator // denominator, 1)
    ends = np.minimum(np.minimum(ends, until_tick + 1), start + MAX_BARS * lengths)
    counts = np.maximum(-((start - ends) // lengths), 0)
    last = int(np.searchsorted(np.cumsum(counts), MAX_BARS)) + 1
    stretches = zip(start[:last].tolist(), ends[:last].tolist(), lengths[:last].tolist(), strict=True)
    bars = np.concatenate([np.arange(*stretch, dtype=np.int64) for stretch in stretches])
    return bars[:MAX_BARS]

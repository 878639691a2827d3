"""Which grid fits each beat of a piece."""

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

from aurl.midi.score import Ints
from aurl.preprocess.grid import GRIDS, Grid, grid_beats

CHANGE = 1.0
"""Nats that another grid than in the beat before costs, so that one stray note does not change it."""


def beat_grids(finest: Sequence[Grid]) -> tuple[Grid, ...]:
    """The grids that divide one beat and are no finer than the finest given, coarsest first."""
    least = min(grid_beats(grid) for grid in finest)
    whole = [grid for grid in GRIDS if grid_beats(grid).numerator == 1 and grid_beats(grid) >= least]
    return tuple(sorted(whole, key=grid_beats, reverse=True))


def adaptive_targets(
    onset: Ints, offset: Ints, *, grids: Sequence[Grid], ticks_per_beat: int, tolerance: float
) -> tuple[Ints, Ints]:
    """Where notes begin and end on the grid of their beat, one of `grids`; their points must fall on ticks.

    An onset speaks for a grid by the likelihood of a player who means any of its points alike and misses it by
    `tolerance` beats (standard deviation): fine grids fit closely but mean less, so the coarsest that fits wins (a
    Bayesian reading of rhythm as in Cemgil, Desain & Kappen, Computer Music Journal 24(2), 2000). A change of grid
    costs; the best sequence over all beats is found by dynamic programming (Viterbi).
    """
    steps = np.array([int(grid_beats(grid) * ticks_per_beat) for grid in grids])
    beats, costs = _costs(np.unique(onset), steps, ticks_per_beat, tolerance)
    chosen = steps[_cheapest(costs)]

    def step_at(ticks: Ints) -> Ints:
        found: Ints = chosen[np.maximum(np.searchsorted(beats, ticks // ticks_per_beat, side="right") - 1, 0)]
        return found

    step = step_at(onset)
    begins = _nearest(onset, step)
    return begins, np.maximum(_nearest(offset, step_at(offset)), begins + step)


def _nearest(ticks: Ints, step: Ints) -> Ints:
    nearest: Ints = (2 * ticks + step) // (2 * step) * step
    return nearest


def _costs(onsets: Ints, steps: Ints, ticks_per_beat: int, tolerance: float) -> tuple[Ints, NDArray[np.float64]]:
    """(beats in which something begins, negative log-likelihood of what begins there on each grid)."""
    beat = onsets // ticks_per_beat
    first = np.flatnonzero(np.append(True, np.diff(beat) != 0))
    scale = 1 / (tolerance * ticks_per_beat)
    columns = [
        np.add.reduceat(log(ticks_per_beat / step) + 0.5 * np.square((onsets - _nearest(onsets, step)) * scale), first)
        for step in steps
    ]
    return beat[first], np.stack(columns, axis=1)


def _cheapest(costs: NDArray[np.float64]) -> NDArray[np.intp]:
    """The column to take in each row so that costs and changes are least, the coarser where two are as good."""
    total = costs[0].tolist()
    ways: list[list[int]] = []
    columns = range(len(total))
    for row in costs[1:].tolist():
        best = min(columns, key=total.__getitem__)
        entry = total[best] + CHANGE
        ways.append([column if total[column] <= entry else best for column in columns])
        total = [cost + min(old, entry) for cost, old in zip(row, total, strict=True)]
    path = [min(columns, key=total.__getitem__)]
    for way in reversed(ways):
        path.append(way[path[-1]])
    return np.array(path[::-1])

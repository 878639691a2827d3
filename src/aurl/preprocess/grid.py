"""Metrical grids, alone and combined: which point of a grid is nearest."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from typing import Literal, Self, get_args

import numpy as np

from aurl.midi.score import Ints

Grid = Literal["1/4", "1/8", "1/16", "1/32", "1/4t", "1/8t", "1/16t", "1/32t"]
"""Note values; "t" is the triplet: three in the time of two."""
GRIDS: tuple[Grid, ...] = get_args(Grid)
STRAIGHT_SHARE = Fraction(11, 20)
"""How much of the way from a straight to a triplet point belongs to the straight one: it wins a little."""


def is_triplet(grid: Grid) -> bool:
    """The grid's points divide a beat, or two, by three."""
    return grid.endswith("t")


def grid_beats(grid: Grid) -> Fraction:
    """Distance of grid points in quarter notes."""
    beats = Fraction(4, int(grid.removeprefix("1/").removesuffix("t")))
    return beats * Fraction(2, 3) if is_triplet(grid) else beats


@dataclass(frozen=True, slots=True)
class Lattice:
    """The points of one grid or of several together, in ticks; they repeat for ever.

    Args:
        points: within one period, from 0 to its length, both included.
        bounds: ticks from which on the next point is the nearest, one fewer than points.
        step: distance of the points of the finest grid.
    """

    points: Ints
    bounds: Ints
    step: int

    @classmethod
    def of(cls, grids: Sequence[Grid], ticks_per_beat: int) -> Self:
        """The points of all `grids`, which must fall on ticks."""
        steps = {grid: int(grid_beats(grid) * ticks_per_beat) for grid in grids}
        period = lcm(*steps.values())
        every = [np.arange(0, period + 1, step) for step in steps.values()]
        points = np.unique(np.concatenate(every))
        straight = gcd(*(step for grid, step in steps.items() if not is_triplet(grid)))
        plain = points % straight == 0 if straight else np.zeros(len(points), np.bool_)
        part, whole = STRAIGHT_SHARE.as_integer_ratio()
        share = whole + (2 * part - whole) * (plain[:-1].astype(np.int64) - plain[1:])
        bounds = points[:-1] - (-np.diff(points) * share // (2 * whole))
        return cls(points, bounds, min(steps.values()))

    def nearest(self, ticks: Ints) -> Ints:
        """The point nearest to each tick, the later of two as near."""
        periods, within = np.divmod(ticks, self.points[-1])
        found: Ints = periods * self.points[-1] + self.points[np.searchsorted(self.bounds, within, side="right")]
        return found

    def ends(self, onset: Ints, offset: Ints) -> Ints:
        """Where notes end that begin on the points `onset`: nearest to `offset`, but at least a finest step later."""
        periods, within = np.divmod(onset + self.step, self.points[-1])
        least = periods * self.points[-1] + self.points[np.searchsorted(self.points, within, side="left")]
        ends: Ints = np.maximum(self.nearest(offset), least)
        return ends

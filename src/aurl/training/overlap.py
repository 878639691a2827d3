"""How much two distributions share, from a few values of each."""

import math

import numpy as np
from numpy.typing import NDArray

POINTS = 512
REACH = 4.0
"""Bandwidths beyond the values that a density is looked at: what is further out is less than 0.01 %."""
LEAST_SPREAD = 0.01
"""Of the values of both sides together: values that are all alike have a width, too."""
Values = NDArray[np.float64]


def overlap(left: Values, right: Values) -> float:
    """Area under both densities, 0 (nothing in common) to 1 (the same); NaN where one side has no values.

    Gaussian kernels with Scott's bandwidth (1992), s n^(−1/5); as in Yang & Lerch (Neural Computing and Applications,
    2020), who compare distances between pieces, while here it is the pieces' own values.
    """
    if not len(left) or not len(right):
        return math.nan
    both = np.concatenate([left, right])
    least = LEAST_SPREAD * (float(both.std()) or float(np.abs(both).max()) or 1.0)
    widths = [_bandwidth(values, least) for values in (left, right)]
    margin = REACH * max(widths)
    grid = np.linspace(both.min() - margin, both.max() + margin, POINTS)
    # A grid that is too coarse for a narrow kernel would miss it.
    widths = [max(width, float(grid[1] - grid[0])) for width in widths]
    densities = [_density(values, width, grid) for values, width in zip((left, right), widths, strict=True)]
    shared = float(np.trapezoid(np.minimum(*densities), grid))
    return min(1.0, shared)


def _bandwidth(values: Values, least: float) -> float:
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return max(spread * math.pow(len(values), -0.2), least)


def _density(values: Values, width: float, grid: Values) -> Values:
    z = (grid[:, None] - values) / width
    density: Values = np.exp(-0.5 * z**2).mean(1) / (width * math.sqrt(2 * math.pi))
    return density

"""Columns of figures → what an audit tells of them: label → pieces, in order and without gaps."""

import numpy as np
from numpy.typing import NDArray

TEMPO_STEP = 10
"""Width of a bin in BPM."""
COMPLEXITY_STEPS = 20
"""Bins from 0 to 1."""


def by_power(values: NDArray[np.float64]) -> dict[str, int]:
    """Power of two → values from half of it up to it."""
    return {str(2**power): count for power, count in _counted(np.ceil(np.log2(values.clip(1))))}


def by_tempo(tempos: NDArray[np.float64]) -> dict[str, int]:
    """Lower edge in BPM → pieces."""
    return {str(step * TEMPO_STEP): count for step, count in _counted(tempos // TEMPO_STEP)}


def by_whole(values: NDArray[np.float64]) -> dict[str, int]:
    """Nearest whole number → pieces."""
    return {str(value): count for value, count in _counted(np.rint(values))}


def by_complexity(values: NDArray[np.float64]) -> dict[str, int]:
    """Lower edge → pieces, over the whole range."""
    counts, edges = np.histogram(values, COMPLEXITY_STEPS, (0, 1))
    return {f"{edge:.2f}": count for edge, count in zip(edges[:-1].tolist(), counts.tolist(), strict=True)}


def _counted(values: NDArray[np.float64]) -> list[tuple[int, int]]:
    """How often each whole number from the least to the greatest occurs."""
    if not len(values):
        return []
    least = int(values.min())
    return list(enumerate(np.bincount(values.astype(np.int64) - least).tolist(), least))

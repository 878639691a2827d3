"""Columns of figures → what an audit tells of them: label → pieces, in order."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

TEMPO_STEP = 10
"""Width of a bin in BPM."""
COMPLEXITY_STEPS = 20
"""Bins from 0 to 1."""


def by_power(values: NDArray[np.float64]) -> dict[str, int]:
    """Power of two → values from half of it up to it."""
    exponents = np.ceil(np.log2(values.clip(1))).astype(int)
    return {str(2**power): count for power, count in sorted(Counter(exponents.tolist()).items())}


def by_tempo(tempos: NDArray[np.float64]) -> dict[str, int]:
    """Lower edge in BPM → pieces."""
    edges = (tempos // TEMPO_STEP * TEMPO_STEP).astype(int)
    return {str(edge): count for edge, count in sorted(Counter(edges.tolist()).items())}


def by_whole(values: NDArray[np.float64]) -> dict[str, int]:
    """Nearest whole number → pieces."""
    return {str(value): count for value, count in sorted(Counter(np.rint(values).astype(int).tolist()).items())}


def by_complexity(values: NDArray[np.float64]) -> dict[str, int]:
    """Lower edge → pieces, over the whole range."""
    counts, edges = np.histogram(values, COMPLEXITY_STEPS, (0, 1))
    return {f"{edge:.2f}": count for edge, count in zip(edges[:-1].tolist(), counts.tolist(), strict=True)}

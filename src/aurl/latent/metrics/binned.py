"""Information between codes and factors, by counting how often they fall into the same bins."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MOST_BINS = 10
"""Of a factor; codes have twice as many, so that a code that is the factor itself says all of it."""
FEWEST_BINS = 2


def bin_count(rows: int) -> int:
    """Bins of a factor of which so many values are known: the cube root, so that joint counts are not mostly 0."""
    return int(min(max(np.cbrt(rows), FEWEST_BINS), MOST_BINS))


def binned(values: Floats, bins: int) -> Ints:
    """`(N, D)`: which of `bins` equally full bins each number of each column is in; equal numbers share one."""
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1], axis=0)  # (bins - 1, D)
    return np.stack(
        [
            np.searchsorted(np.unique(edge), column, side="right")
            for edge, column in zip(edges.T, values.T, strict=True)
        ],
        1,
    )


def information(codes: Ints, factor: Ints) -> Floats:
    """`(D,)`: mutual information in nats between each column of binned `codes` `(N, D)` and a `factor` `(N,)` ≥ 0.

    By counts, corrected for how few there are (Miller, 1955), never below 0.
    """
    bins, values = int(codes.max()) + 1, int(factor.max()) + 1
    rows, columns = codes.shape
    cells = (np.arange(columns) * bins + codes) * values + factor[:, None]
    counts = np.bincount(cells.ravel(), minlength=columns * bins * values).reshape(columns, bins, values)
    joint = _entropy(counts.reshape(columns, -1), rows)
    of_code, of_factor = _entropy(counts.sum(2), rows), _entropy(counts.sum(1), rows)
    return np.maximum(of_code + of_factor - joint, 0.0)


def entropy(factor: Ints) -> float:
    """Of a factor `(N,)` ≥ 0, in nats, corrected likewise."""
    return float(_entropy(np.bincount(factor)[None], len(factor))[0])


def _entropy(counts: Ints, rows: int) -> Floats:
    share = counts / rows
    plain = -(share * np.log(np.where(share > 0, share, 1.0))).sum(1)
    found: Floats = plain + ((counts > 0).sum(1) - 1) / (2 * rows)
    return found

"""Sparse linear regression of factors on codes, with as much sparsity as foretells unseen pieces best.

Least squares with an L1 penalty (Tibshirani, 1996), 1/(2N) |y − Xw|² + α |w|, by cyclic coordinate descent on the
Gram matrix (Friedman, Hastie & Tibshirani, 2010), for all factors at once.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PENALTIES = np.geomspace(1.0, 1e-3, 8)
"""That are tried, as shares of the least one that leaves nothing."""
TOLERANCE, SWEEPS = 1e-3, 100
"""It ends when no weight of standardised columns moves by more, or after so many rounds."""
FOLDS = 2


def standardised(x: Floats) -> Floats:
    """Columns of mean 0 and deviation 1; constant ones are 0."""
    deviation = x.std(0)
    found: Floats = (x - x.mean(0)) / np.where(deviation > 0, deviation, 1.0)
    return found


def lasso(x: Floats, y: Floats, penalty: Floats, start: Floats | None = None) -> Floats:
    """`(D, K)` weights for standardised `x` `(N, D)` and `y` `(N, K)`.

    Args:
        x: codes.
        y: factors.
        penalty: (K,) α of each factor.
        start: (D, K) weights to begin with.
    """
    gram, target = x.T @ x / len(x), x.T @ y / len(x)
    weights = np.zeros_like(target) if start is None else start.copy()
    used = np.flatnonzero(np.diag(gram) > 0).tolist()
    for _ in range(SWEEPS):
        moved = 0.0
        for column in used:
            own = gram[column, column]
            rest = target[column] - gram[column] @ weights + own * weights[column]
            new = np.sign(rest) * np.maximum(np.abs(rest) - penalty, 0.0) / own
            moved = max(moved, float(np.abs(new - weights[column]).max(initial=0.0)))
            weights[column] = new
        if moved < TOLERANCE:
            break
    return weights


def largest_penalty(x: Floats, y: Floats) -> Floats:
    """`(K,)`: the least α of each factor that leaves no weight."""
    found: Floats = np.abs(x.T @ y).max(0) / len(x)
    return found


def choose_penalty(x: Floats, y: Floats, group: Ints) -> tuple[Floats, Floats]:
    """The α `(K,)` that foretells held-out groups best, and the squared errors `(N, K)` that it leaves there.

    Args:
        x: (N, D) codes.
        y: (N, K) factors.
        group: (N,) what belongs together, such as latents of one piece; it is held out together.
    """
    rank = np.unique(group, return_inverse=True)[1]
    errors = np.zeros((len(PENALTIES), *y.shape))
    for held_out in range(FOLDS):
        train = rank % FOLDS != held_out
        errors[:, ~train] = _path(x, y, train)
    best = errors.sum(1).argmin(0)
    return PENALTIES[best] * largest_penalty(standardised(x), standardised(y)), errors[best, :, np.arange(len(best))].T


def _path(x: Floats, y: Floats, train: NDArray[np.bool_]) -> Floats:
    """`(penalties, rows, K)`: squared error of each row that is not for training, in the units of `y`."""
    (mean_x, mean_y), deviations = ((x[train].mean(0), y[train].mean(0)), (x[train].std(0), y[train].std(0)))
    safe_x, safe_y = (np.where(one > 0, one, 1.0) for one in deviations)
    scaled, wanted, asked = (x[train] - mean_x) / safe_x, (y[train] - mean_y) / safe_y, (x[~train] - mean_x) / safe_x
    most, weights, errors = largest_penalty(scaled, wanted), None, []
    for share in PENALTIES:
        weights = lasso(scaled, wanted, share * most, weights)
        errors.append((y[~train] - (asked @ weights * safe_y + mean_y)) ** 2)
    return np.stack(errors)

"""How far latents are from what the prior takes them for.

Two views. Whitened: each latent is made standard normal by the mean and deviation that the prior expects of it, given
those above and before; the aggregate of all should then be N(0, 1) in every dimension. Sampled: latents of music beside
latents that the prior makes up, told apart by a classifier, and by a kernel.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FOLDS = 2
MOST_COMPARED = 500
"""Latents of each sort that a kernel is computed of: its matrix has four times the square of that."""
PERMUTATIONS = 199
"""With them the smallest p-value is 0.005."""


def normal_gap(whitened: Floats) -> Floats:
    """`(size,)`: KL divergence in nats of the normal with the mean and variance of `whitened` `(N, size)` from N(0, 1).

    What N standard normal numbers would give by chance, 1 / N on average, is taken off.
    """
    mean, variance = whitened.mean(0), whitened.var(0)
    safe = np.maximum(variance, np.finfo(np.float64).tiny)
    found: Floats = np.maximum(0.5 * (safe + mean**2 - 1 - np.log(safe)) - 1 / len(whitened), 0.0)
    return found


def told_apart(real: Floats, made: Floats, real_group: Ints, made_group: Ints) -> float:
    """How often a classifier tells real latents from made ones that it has not seen: about 0.5 by chance, 1 always.

    A classifier two-sample test (Lopez-Paz & Oquab, ICLR 2017): Fisher's discriminant on the latents and their squares,
    shrunk by as many nats of ridge as there are features, trained on one half of the groups and asked about the other,
    and the other way round. Each sort counts the same.

    Args:
        real: (N, size).
        made: (M, size).
        real_group: (N,) what belongs together, such as latents of one window.
        made_group: (M,)
    """
    features = np.concatenate([_with_squares(real), _with_squares(made)])
    features = (features - features.mean(0)) / np.maximum(features.std(0), np.finfo(np.float64).tiny)
    sign = np.concatenate([np.ones(len(real)), -np.ones(len(made))])
    fold = np.concatenate([_rank(real_group), _rank(made_group)]) % FOLDS
    right = np.zeros(len(sign), np.bool_)
    for held_out in range(FOLDS):
        train = fold != held_out
        right[~train] = _discriminant(features[train], sign[train], features[~train]) == sign[~train]
    return float(0.5 * (right[sign > 0].mean() + right[sign < 0].mean()))


def _with_squares(z: Floats) -> Floats:
    return np.concatenate([z, z**2], 1)


def _rank(group: Ints) -> Ints:
    """Groups numbered from 0 in order, so that halves of them alternate."""
    ranked: Ints = np.unique(group, return_inverse=True)[1]
    return ranked


def _discriminant(x: Floats, sign: Floats, asked: Floats) -> Floats:
    """The sign of a ridge regression on signs, both sorts weighing the same."""
    weight = np.where(sign > 0, 1 / max(1, (sign > 0).sum()), 1 / max(1, (sign < 0).sum())) * len(sign) / 2
    weighted = x * weight[:, None]
    gram = weighted.T @ x + x.shape[1] * np.eye(x.shape[1])
    beta = np.linalg.solve(gram, weighted.T @ (sign - np.average(sign, weights=weight)))
    centre = np.average(x @ beta, weights=weight)
    return np.where(asked @ beta >= centre, 1.0, -1.0)


class Discrepancy(NamedTuple):
    """Maximum mean discrepancy.

    Args:
        squared: of the kernel means, unbiased; 0 where both are the same, it may be a little less.
        p_value: share of random assignments that are as far apart.
    """

    squared: float
    p_value: float


def discrepancy(real: Floats, made: Floats, real_group: Ints, made_group: Ints, *, seed: int) -> Discrepancy:
    """Maximum mean discrepancy (Gretton et al., JMLR 2012) with a Gaussian kernel as wide as the median distance.

    Args:
        real: (N, size); at most `MOST_COMPARED` of each sort are used, evenly spread.
        made: (M, size).
        real_group: (N,) what belongs together, and is assigned together.
        made_group: (M,)
        seed: of the assignments.
    """
    (real, real_group), (made, made_group) = (_thinned(*one) for one in ((real, real_group), (made, made_group)))
    kernel = _kernel(np.concatenate([real, made]))
    groups = np.concatenate([_rank(real_group), _rank(made_group) + len(real)])
    groups = _rank(groups)
    is_real = np.arange(len(kernel)) < len(real)
    found = _squared(kernel, is_real)
    of_group = np.zeros(groups.max() + 1, np.bool_)
    of_group[groups[is_real]] = True
    rng = np.random.default_rng(seed)
    others = [_squared(kernel, rng.permutation(of_group)[groups]) for _ in range(PERMUTATIONS)]
    return Discrepancy(found, (1 + sum(other >= found for other in others)) / (1 + PERMUTATIONS))


def _thinned(z: Floats, group: Ints) -> tuple[Floats, Ints]:
    chosen = np.linspace(0, len(z) - 1, min(len(z), MOST_COMPARED)).astype(np.int64)
    return z[chosen], group[chosen]


def _kernel(z: Floats) -> Floats:
    squares = (z**2).sum(1)
    distance = np.maximum(squares[:, None] + squares - 2 * z @ z.T, 0.0)
    width = float(np.median(distance[np.triu_indices(len(z), 1)]))
    found: Floats = np.exp(-distance / max(width, np.finfo(np.float64).tiny))
    return found


def _squared(kernel: Floats, first: NDArray[np.bool_]) -> float:
    """Unbiased estimate; the diagonal of the kernel is 1."""
    n, m = int(first.sum()), int((~first).sum())
    if min(n, m) < 2:
        return 0.0
    one, other = first.astype(np.float64), (~first).astype(np.float64)
    a, b, c = one @ kernel @ one - n, other @ kernel @ other - m, one @ kernel @ other
    return float(a / (n * (n - 1)) + b / (m * (m - 1)) - 2 * c / (n * m))

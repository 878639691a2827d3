"""Disentanglement, completeness and informativeness (Eastwood & Williams, ICLR 2018), by sparse linear regression."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aurl.latent.metrics.lasso import choose_penalty, lasso, standardised

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Importance(NamedTuple):
    """Which code tells which factor.

    Args:
        weights: (D, K) absolute weights of a sparse regression of each factor on all codes, both standardised.
        penalty: of each column of the regression.
        errors: (N, C) squared, of each column in held-out pieces.
    """

    weights: Floats
    penalty: Floats
    errors: Floats


def importance(codes: Floats, columns: Floats, owner: Ints, group: Ints) -> Importance:
    """Fit factors, each of which is one column or more (one for each value of a label).

    Args:
        codes: (N, D).
        columns: (N, C) that stand for factors.
        owner: (C,) which factor each stands for, 0 … K − 1, each at least once.
        group: (N,) piece of each.
    """
    penalty, errors = choose_penalty(codes, columns, group)
    return Importance(refit(codes, columns, owner, penalty), penalty, errors)


def explained(errors: Floats, columns: Floats, owner: Ints) -> Floats:
    """`(K,)`: the share of each factor's variance, that of all its columns, which is no error; may be below 0."""
    total = np.bincount(owner, weights=((columns - columns.mean(0)) ** 2).sum(0))
    left = np.bincount(owner, weights=errors.sum(0))
    return np.where(total > 0, 1 - left / np.where(total > 0, total, 1.0), 0.0)


def refit(codes: Floats, columns: Floats, owner: Ints, penalty: Floats) -> Floats:
    """`(D, K)` importances with known penalties."""
    weights = np.abs(lasso(standardised(codes), standardised(columns), penalty))
    return np.stack([weights[:, owner == factor].sum(1) for factor in range(int(owner.max()) + 1)], 1)


def disentanglement(weights: Floats) -> float:
    """How nearly each code tells one factor only, 0 to 1, codes counting by how much they tell; 0 if none tells any."""
    return _weighted(1 - _evenness(weights), weights.sum(1))


def completeness(weights: Floats) -> Floats:
    """`(K,)`: how nearly each factor is told by one code only, 0 to 1; 0 where no code tells it."""
    found: Floats = np.where(weights.sum(0) > 0, 1 - _evenness(weights.T), 0.0)
    return found


def _evenness(weights: Floats) -> Floats:
    """Entropy of each row's shares, as a share of the largest possible."""
    share = weights / np.maximum(weights.sum(1, keepdims=True), np.finfo(np.float64).tiny)
    bits = -(share * np.log(np.where(share > 0, share, 1.0))).sum(1)
    found: Floats = bits / np.log(max(2, weights.shape[1]))
    return found


def _weighted(values: Floats, weights: Floats) -> float:
    return float((values * weights).sum() / weights.sum()) if weights.sum() > 0 else 0.0

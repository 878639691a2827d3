"""Ridge regression of a musical attribute on latents, judged on pieces that it has not seen."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

FOLDS = 5
FEWEST = 4 * FOLDS
"""Latents below which nothing is regressed."""
PENALTIES = np.logspace(-4, 2, 13)
"""Of the ridge, in mean variances of a dimension for each latent."""
SMALLEST_DEVIATION = 1e-6
"""Attributes that vary less are constant, but for rounding."""
FURTHEST = 3.0
"""Deviations at which values are cut off: a chord alone in its segment is a hundred times as dense as a melody."""

Floats = NDArray[np.float64]


class Fit(NamedTuple):
    """A regression.

    Args:
        weights: (D,) on all latents.
        r2: share of the variance that it explains in pieces that it has not seen; below 0: worse than the mean.
        correlation: there, of what it says with what is so.
    """

    weights: Floats
    r2: float
    correlation: float


@dataclass(frozen=True)
class Regression:
    """An attribute beside latents, where it could be measured.

    Args:
        x: (N, D).
        y: (N,) deviations from the mean, at most `FURTHEST`.
        piece: (N,) of which piece each is; latents of one piece are never on both sides of a fold.
        mean: of the attribute, in its own unit.
        deviation: likewise.
    """

    x: Floats
    y: Floats
    piece: NDArray[np.int64]
    mean: float
    deviation: float

    @classmethod
    def of(cls, x: NDArray[np.floating], values: Floats, piece: NDArray[np.int64]) -> Self | None:
        """None where too few values are known, of too few pieces, or all are the same."""
        known = np.isfinite(values)
        y = values[known]
        if len(y) < FEWEST or len(np.unique(piece[known])) < FOLDS or y.std() < SMALLEST_DEVIATION:
            return None
        mean, deviation = float(y.mean()), float(y.std())
        near = np.clip((y - mean) / deviation, -FURTHEST, FURTHEST)
        return cls(x[known].astype(np.float64), near, piece[known], mean, deviation)

    def fit(self) -> Fit:
        """Ridge regression (Hoerl & Kennard, Technometrics 1970) with the penalty that errs least on unseen pieces."""
        said = np.empty((len(PENALTIES), len(self.y)))
        for seen, unseen in self._folds():
            said[:, unseen] = self._said(_ridge(self.x[seen], self.y[seen]), seen, unseen)
        errors = ((said - self.y) ** 2).mean(1)
        best = int(errors.argmin())
        r2 = 1 - float(errors[best] / self.y.var())
        return Fit(_ridge(self.x, self.y)[best], r2, _correlation(said[best], self.y))

    def reference(self) -> float:
        """The same correlation for the difference of two means: of latents above the median and of those below."""
        said = np.empty((1, len(self.y)))
        for seen, unseen in self._folds():
            x, above = self.x[seen], self.y[seen] > np.median(self.y[seen])
            apart = x[above].mean(0) - x[~above].mean(0) if above.any() else np.zeros(x.shape[1])
            said[:, unseen] = self._said(apart[None], seen, unseen)
        return _correlation(said[0], self.y)

    def _folds(self) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
        _, number = np.unique(self.piece, return_inverse=True)
        for fold in range(FOLDS):
            unseen = number % FOLDS == fold
            yield ~unseen, unseen

    def _said(self, weights: Floats, seen: NDArray[np.bool_], unseen: NDArray[np.bool_]) -> Floats:
        """`(number of weights, unseen)`: what they say where they were not learned, of an attribute whose mean is 0.

        Means of each fold's own would fall where what is unseen rises, which looks like a correlation below 0.
        """
        said: Floats = weights @ (self.x[unseen] - self.x[seen].mean(0)).T
        return said


def _ridge(x: Floats, y: Floats) -> Floats:
    """`(penalties, D)`: weights for each penalty."""
    x, y = x - x.mean(0), y - y.mean()
    variances, axes = np.linalg.eigh(x.T @ x)
    penalties = PENALTIES[:, None] * variances.mean()
    along = np.divide(
        axes.T @ (x.T @ y), variances + penalties, out=np.zeros((len(PENALTIES), len(axes))), where=penalties > 0
    )
    weights: Floats = along @ axes.T
    return weights


def _correlation(said: Floats, true: Floats) -> float:
    """0 where one says the same of all."""
    return float(np.corrcoef(said, true)[0, 1]) if said.std() and true.std() else 0.0

"""t-SNE (van der Maaten & Hinton, JMLR 2008), exact: every pair of points is looked at.

Begins at given places rather than at random ones (Kobak & Berens, Nature Communications 2019): the picture is the same
each time, and what is far apart in it is so for a reason.
"""

import numpy as np
from numpy.typing import NDArray

from aurl.progress import Progress, Report, silent

Floats = NDArray[np.float64]
PERPLEXITY = 30.0
"""Neighbours that count, about; fewer where there are few points."""
STEPS, EXAGGERATED = 500, 125
"""Of gradient descent; in the first ones points of one neighbourhood attract each other more."""
EXAGGERATION = 12.0
MOMENTUM, LATER_MOMENTUM = 0.5, 0.8
SPREAD = 1e-4
"""Deviation of the places in the beginning."""
SEARCHES = 50
"""Halvings in the search for a width that has the perplexity."""
LEAST_GAIN = 0.01
TINY = 1e-12


def tsne(x: Floats, start: Floats, *, perplexity: float = PERPLEXITY, report: Report = silent) -> Floats:
    """`(N, 2)` places of the points `x` `(N, D)`, near each other where the points are.

    Args:
        x: at least 3 points.
        start: (N, 2) where they begin; only its directions matter.
        perplexity: see `PERPLEXITY`; at most a third of the points.
        report: told after each step.
    """
    near = similarities(x, min(perplexity, (len(x) - 1) / 3))
    deviation = float(start.std(0).max())
    y = start / max(deviation, TINY) * SPREAD
    velocity, gain = np.zeros_like(y), np.ones_like(y)
    rate = max(len(x) / EXAGGERATION, 50.0)  # Belkina et al., Nature Communications 2019
    for step in range(STEPS):
        early = step < EXAGGERATED
        slope = gradient(near * (EXAGGERATION if early else 1.0), y)
        same = np.sign(slope) == np.sign(velocity)
        gain = np.maximum(np.where(same, gain * 0.8, gain + 0.2), LEAST_GAIN)  # Jacobs, 1988
        velocity = (MOMENTUM if early else LATER_MOMENTUM) * velocity - rate * gain * slope
        y = y + velocity
        y -= y.mean(0)
        report(Progress("t-SNE", step + 1, STEPS, "steps"))
    return y


def similarities(x: Floats, perplexity: float) -> Floats:
    """`(N, N)`: how likely each pair are neighbours; symmetric, and 1 in all."""
    distance = _squared_distances(x)
    low, high = np.zeros(len(x)), np.full(len(x), np.inf)
    precision = 1.0 / np.maximum(distance.mean(1), TINY)
    for _ in range(SEARCHES):
        share, entropy = _neighbours(distance, precision)
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, precision, low), np.where(wide, high, precision)
        precision = np.where(np.isfinite(high), (low + high) / 2, 2 * precision)
    share, _ = _neighbours(distance, precision)
    joint: Floats = (share + share.T) / (2 * len(x))
    return joint


def _neighbours(distance: Floats, precision: Floats) -> tuple[Floats, Floats]:
    """Each row's chances of its neighbours, and their entropy in nats."""
    own = distance.copy()
    np.fill_diagonal(own, np.inf)
    scaled = precision[:, None] * (own - own.min(1, keepdims=True))
    weight = np.exp(-scaled)
    total = weight.sum(1, keepdims=True)
    share = weight / total
    np.fill_diagonal(scaled, 0.0)
    entropy: Floats = np.log(total[:, 0]) + (share * scaled).sum(1)
    return share, entropy


def gradient(near: Floats, y: Floats) -> Floats:
    """`(N, 2)`: of the KL divergence between `near` and the similarities of the places `y`."""
    closeness = 1 / (1 + _squared_distances(y))
    np.fill_diagonal(closeness, 0.0)
    pull = (near - closeness / max(closeness.sum(), TINY)) * closeness
    found: Floats = 4 * (pull.sum(1)[:, None] * y - pull @ y)
    return found


def _squared_distances(x: Floats) -> Floats:
    squares = (x**2).sum(1)
    found: Floats = np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0.0)
    return found

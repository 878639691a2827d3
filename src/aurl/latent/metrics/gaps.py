"""Scores by the gap between the code that tells a factor best and the next best."""

import numpy as np
from numpy.typing import NDArray

from aurl.latent.metrics.binned import binned, entropy, information

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FOLDS = 2


def gap(scores: Floats) -> float:
    """The largest of `scores` less the next one; a single one is compared with 0."""
    best = np.sort(scores)[::-1]
    return float(best[0] - (best[1] if len(best) > 1 else 0.0))


def shares_of_entropy(codes: Ints, factor: Ints) -> Floats:
    """`(D,)`: mutual information of each binned code with a binned factor, as a share of the factor's entropy."""
    most = entropy(factor)
    return information(codes, factor) / most if most > 0 else np.zeros(codes.shape[1])


def mutual_information_gap(codes: Ints, factor: Ints) -> float:
    """MIG of one factor (Chen et al., NeurIPS 2018), 0 to 1."""
    return gap(shares_of_entropy(codes, factor))


def squared_correlations(codes: Floats, factor: Floats) -> Floats:
    """`(D,)`: the share of a factor's variance that each code explains linearly, alone."""
    x, y = codes - codes.mean(0), factor - factor.mean()
    scale = (x**2).sum(0) * (y**2).sum()
    found: Floats = np.where(scale > 0, (x * y[:, None]).sum(0) ** 2 / np.where(scale > 0, scale, 1.0), 0.0)
    return found


def balanced_accuracies(codes: Ints, label: Ints, group: Ints) -> Floats:
    """`(D,)`: how often each binned code alone names the label of held-out groups, each label counting the same.

    The label of a bin is the one that is most over-represented in it.
    """
    columns, values = codes.shape[1], int(label.max()) + 1
    bins = int(codes.max()) + 1
    fold = np.unique(group, return_inverse=True)[1] % FOLDS
    right = np.zeros((columns, values))
    for held_out in range(FOLDS):
        train, asked = fold != held_out, fold == held_out
        cells = (np.arange(columns) * bins + codes[train]) * values + label[train, None]
        counts = np.bincount(cells.ravel(), minlength=columns * bins * values).reshape(columns, bins, values)
        named = (counts / np.maximum(np.bincount(label[train], minlength=values), 1)).argmax(2)  # (D, bins)
        guess = named[np.arange(columns), codes[asked]]  # (N, D)
        for value in range(values):
            right[:, value] += (guess[label[asked] == value] == value).sum(0)
    total = np.bincount(label, minlength=values)
    found: Floats = (right / np.maximum(total, 1)).sum(1) / max(1, (total > 0).sum())
    return found


def attribute_gap(codes: Floats, factor: Floats) -> float:
    """SAP of one number (Kumar et al., ICLR 2018), 0 to 1."""
    return gap(squared_correlations(codes, factor))


def label_gap(codes: Floats, label: Ints, group: Ints, bins: int) -> float:
    """SAP of one label, 0 to 1; the classifier of Kumar et al. is a histogram here."""
    return gap(balanced_accuracies(binned(codes, bins), label, group))

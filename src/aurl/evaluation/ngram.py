"""n-gram language models over ids: the baseline that a trained model has to beat on the same split.

Interpolated Kneser-Ney smoothing with one absolute discount per order, D = n1 / (n1 + 2 n2) (Ney, Essen & Kneser 1994;
Chen & Goodman, "An empirical study of smoothing techniques for language modeling", 1998, equations 14 and 23).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aurl.tokens.vocabulary import NOTE_ON

Keys = NDArray[np.uint64]
MAX_KEY = 2**64


@dataclass(frozen=True)
class Likelihood:
    """What a model says of held-out ids.

    Args:
        nats_per_token: mean negative log-likelihood of the predicted ids.
        nats_per_note: the same sum divided by the NOTE_ON ids among them; NaN without notes.
        tokens: ids predicted (all but the first of each piece).
        notes: NOTE_ON ids among them.
    """

    nats_per_token: float
    nats_per_note: float
    tokens: int
    notes: int


@dataclass(frozen=True)
class _Order:
    """Counts of one order: sorted n-gram keys, and per context its total, its number of distinct followers."""

    grams: Keys
    counts: NDArray[np.float64]
    contexts: Keys
    totals: NDArray[np.float64]
    types: NDArray[np.float64]
    discount: float


class NGram:
    """Kneser-Ney model of a fixed order.

    Args:
        order: ids per n-gram, context and predicted id together.
        vocabulary_size: ids are below it; `(vocabulary_size + 1) ** order` must fit 64 bits.
    """

    def __init__(self, order: int, vocabulary_size: int) -> None:
        self.order = order
        self.radix = vocabulary_size + 1
        if self.radix**order > MAX_KEY:
            raise ValueError(f"{order}-grams over {vocabulary_size} ids do not fit 64-bit keys")
        self._orders: list[_Order] = []

    def fit(self, pieces: Iterable[NDArray[np.integer]]) -> "NGram":
        """Count the n-grams of `pieces`; none crosses the border between two pieces."""
        grams, counts = np.unique(
            np.concatenate([self._keys(piece, self.order) for piece in pieces]), return_counts=True
        )
        tables = [self._table(grams, counts)]
        for shorter in range(self.order - 1, 0, -1):
            # A shorter gram counts how many different ids stand before it, not how often it occurs.
            grams, counts = np.unique(grams % np.uint64(self.radix**shorter), return_counts=True)
            tables.append(self._table(grams, counts))
        self._orders = tables[::-1]
        return self

    def probabilities(self, piece: NDArray[np.integer]) -> NDArray[np.float64]:
        """Probability of each id of `piece` but the first, given up to `order - 1` ids before it."""
        probability = np.full(max(len(piece) - 1, 0), 1.0 / (self.radix - 1))
        for length, table in enumerate(self._orders, start=1):
            keys = self._keys(piece, length)
            counts = _look_up(table.grams, table.counts, keys)
            contexts = keys // np.uint64(self.radix)
            totals = _look_up(table.contexts, table.totals, contexts)
            types = _look_up(table.contexts, table.types, contexts)
            seen = totals > 0
            totals = np.where(seen, totals, 1.0)
            interpolated = np.maximum(counts - table.discount, 0) + table.discount * types * probability
            probability = np.where(seen, interpolated / totals, probability)
        return probability

    def likelihood(self, pieces: Iterable[NDArray[np.integer]]) -> Likelihood:
        """Negative log-likelihood of held-out `pieces`."""
        nats, tokens, notes = 0.0, 0, 0
        for piece in pieces:
            nats -= float(np.log(self.probabilities(piece)).sum())
            tokens += max(len(piece) - 1, 0)
            notes += int((np.asarray(piece[1:]) < NOTE_ON.stop).sum())
        return Likelihood(nats / max(tokens, 1), nats / notes if notes else float("nan"), tokens, notes)

    def _keys(self, piece: NDArray[np.integer], length: int) -> Keys:
        """Keys of the `length` ids that end at each position but the first; ids before the start are `radix - 1`."""
        padded = np.full(len(piece) + length - 1, self.radix - 1, np.uint64)
        padded[length - 1 :] = piece
        keys = np.zeros(max(len(piece) - 1, 0), np.uint64)
        for offset in range(length):
            keys = keys * np.uint64(self.radix) + padded[offset + 1 : offset + 1 + len(keys)]
        return keys

    def _table(self, grams: Keys, counts: NDArray[np.integer]) -> _Order:
        contexts, first = np.unique(grams // np.uint64(self.radix), return_index=True)
        types = np.diff(np.append(first, len(grams)))
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        return _Order(
            grams=grams,
            counts=counts.astype(np.float64),
            contexts=contexts,
            totals=np.add.reduceat(counts, first).astype(np.float64) if len(grams) else np.empty(0),
            types=types.astype(np.float64),
            discount=once / (once + 2 * twice) if once else 0.0,
        )


def _look_up(keys: Keys, values: NDArray[np.float64], wanted: Keys) -> NDArray[np.float64]:
    """The value of each wanted key, 0 where it is not among the sorted `keys`."""
    if not len(keys):
        return np.zeros(len(wanted))
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0.0)


def compare_orders(
    train: Sequence[NDArray[np.integer]],
    valid: Sequence[NDArray[np.integer]],
    *,
    vocabulary_size: int,
    max_order: int = 6,
) -> dict[int, Likelihood]:
    """Likelihood of `valid` under n-gram models of order 1 to `max_order` fitted to `train`."""
    return {order: NGram(order, vocabulary_size).fit(train).likelihood(valid) for order in range(1, max_order + 1)}

"""Which windows make one step of all processes together."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

POOL_STEPS = 64
"""Steps among whose windows those of like length are sought. With more there is hardly less padding."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The windows of an epoch, step by step.

    Args:
        order: places of windows.
        edges: (steps + 1,) where each step begins in `order`.
    """

    order: NDArray[np.int64]
    edges: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.edges) - 1

    def share(self, step: int, rank: int, world: int) -> tuple[NDArray[np.int64], int]:
        """One process's windows of a step, dealt out like cards, and how many of them every process has to have."""
        together = self.order[self.edges[step] : self.edges[step + 1]]
        return together[rank::world], -(-len(together) // world)


def by_count(order: NDArray[np.int64], *, count: int) -> Steps:
    """Steps of `count` windows, in order; the last may have fewer."""
    return Steps(order, np.append(np.arange(0, len(order), count), len(order)))


def by_tokens(
    order: NDArray[np.int64], lengths: NDArray[np.int64], *, tokens: int, world: int, rng: np.random.Generator | None
) -> Steps:
    """Steps of windows of like length, as many as fit into the tokens of a batch when all are as long as the longest.

    Windows are sorted by length within pools of neighbours in `order` only, and the steps of a pool take turns by
    chance: so every epoch has other batches, and a curriculum stays one. Each pool ends with what is left over.

    Args:
        order: places of windows.
        lengths: of the window at each place.
        tokens: of one batch of one process, padding and all; a window that is longer is a batch of its own.
        world: processes; each has as many windows of a step as the others.
        rng: decides the order; without it there is one pool, in order of length.
    """
    mean = max(1.0, float(lengths[order].mean())) if len(order) else 1.0
    size = max(1, round(POOL_STEPS * world * tokens / mean)) if rng else max(1, len(order))
    chunks: list[NDArray[np.int64]] = []
    for begin in range(0, len(order), size):
        pool = order[begin : begin + size]
        pool = pool[np.argsort(-lengths[pool], kind="stable")]
        steps = [pool[start:stop] for start, stop in pairwise(_edges(lengths[pool], tokens, world))]
        chunks += [steps[index] for index in rng.permutation(len(steps))] if rng else steps
    edges = np.cumsum([0, *map(len, chunks)], dtype=np.int64)
    return Steps(np.concatenate([order[:0], *chunks]), edges)


def _edges(falling: NDArray[np.int64], tokens: int, world: int) -> list[int]:
    """Where steps begin among lengths in falling order, and where the last ends."""
    edges = [0]
    while edges[-1] < len(falling):
        fitting = max(1, tokens // max(1, int(falling[edges[-1]])))
        edges.append(min(edges[-1] + fitting * world, len(falling)))
    return edges

"""Who sees what, and how queries are cut into blocks that are worked on one after another."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK_ROWS = {torch.bfloat16: 256}
DEFAULT_BLOCK_ROWS = 64
"""Queries per block; the fastest of 64, 128, 256 and 512."""
SCORE_BYTES = 2 << 20
"""Scores held at a time; what stays near the core."""


class Reach(NamedTuple):
    """How many positions before and after its own a query sees."""

    behind: int
    ahead: int


class Memory(NamedTuple):
    """Keys and values `(B, H, N, S, D)` that stretches of queries see beside what is in their reach.

    Args:
        keys: N times S of them.
        values: the same.
        span: queries in a stretch; the first stretch sees no memory, the next the first of the N, and so on. None:
            N is 1 and all queries see it.
    """

    keys: Tensor
    values: Tensor
    span: int | None


@dataclass(frozen=True, slots=True)
class Block:
    """Queries `start…stop` and the keys `first…last` that at least one of them sees, for heads `heads`.

    `memory` is the number of what they see besides, negative for nothing.
    """

    heads: slice
    first: int
    start: int
    stop: int
    last: int
    reach: Reach
    memory: int

    @property
    def queries(self) -> tuple[slice, slice]:
        """Index of the queries in `(heads, T, D)`."""
        return self.heads, slice(self.start, self.stop)

    @property
    def keys(self) -> tuple[slice, slice]:
        """Index of the keys in `(heads, T, D)`."""
        return self.heads, slice(self.first, self.last)


class Plan(NamedTuple):
    """How queries are cut into blocks: their reach, and after how many of them the memory changes (None: never)."""

    reach: Reach
    span: int | None

    def blocks(self, q: Tensor) -> Iterator[Block]:
        """Blocks that cover the queries `(heads, T, D)`, heads outermost."""
        n_heads, length, _ = q.shape
        behind, ahead = self.reach
        span = self.span or length
        rows = min(BLOCK_ROWS.get(q.dtype, DEFAULT_BLOCK_ROWS), max(behind + ahead + 1, DEFAULT_BLOCK_ROWS), span)
        widest = min(length, behind + ahead + rows)
        group = max(1, min(n_heads, SCORE_BYTES // (rows * widest * q.element_size())))
        for head in range(0, n_heads, group):
            heads = slice(head, min(head + group, n_heads))
            for start, stop in _cut(length, span, rows):
                memory = start // span - (self.span is not None)
                first, last = max(0, start - behind), min(stop + ahead, length)
                yield Block(heads, first, start, stop, last, self.reach, memory)


def _cut(length: int, span: int, rows: int) -> Iterator[tuple[int, int]]:
    """Ends of pieces of at most `rows`, none of which crosses a multiple of `span`."""
    for begin in range(0, length, span):
        end = min(begin + span, length)
        for start in range(begin, end, rows):
            yield start, min(start + rows, end)

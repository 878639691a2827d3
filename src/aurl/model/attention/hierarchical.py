"""Every position looks at those near it and, through few learned summaries, at all the rest; time is linear."""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from aurl.model.attention.kinds import ATTENTION
from aurl.model.attention.near import attend_near, mean_near, near_reach
from aurl.model.attention.plan import Memory
from aurl.model.attention.summaries import running, summarise
from aurl.model.attention.summary_cache import SummaryCache

POOLING_KEYS = 1.5
"""A key is scored and mixed once where it is looked at; where it is pooled it is scored once and mixed twice."""


class Hierarchical(nn.Module):
    """A sliding window and, in the same softmax, learned summaries of all blocks before the query's own.

    The summaries are slots of bounded memory (Peng et al., ABC, ACL 2022): each of them is an average of keys and of
    values, weighted by the softmax of a learned query's scores over the past. They stand still within a block, so
    that they are few, and what they do not hold yet is in the window. Their keys are averages of turned keys, so they
    stand where stands what they hold. If not causal they are made of the whole sequence.

    Args:
        n_heads: number of heads.
        d_head: dimensions of each.
        window: how many positions a query sees, itself included, and the length of a block; if not causal, how many
            positions before it and after it.
        summaries: of each head.
        causal: later positions are not seen.
    """

    def __init__(self, n_heads: int, d_head: int, *, window: int, summaries: int, causal: bool) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(n_heads, summaries, d_head))
        self._window = window
        self._causal = causal
        self._reach = near_reach(window, causal)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, real: Tensor | None = None) -> Tensor:
        """Attend over near positions and the summaries."""
        memory = self._of_past(k, v) if self._causal else self._of_all(k, v, real)
        mixed = attend_near(q, k, v, self._reach, real=real, memory=memory)
        # Several processes wait for each other's gradient of every parameter, however short their own pieces are.
        return mixed if memory is not None else mixed + 0.0 * self.queries.sum()

    def _of_past(self, k: Tensor, v: Tensor) -> Memory | None:
        n_blocks = (k.shape[2] - 1) // self._window  # all but the last, which nobody looks back on
        if n_blocks == 0:
            return None
        stop = n_blocks * self._window
        batch, n_heads, _, d_head = k.shape
        shape = (batch, n_heads, n_blocks, self._window, d_head)
        blocks = (x[:, :, :stop].reshape(shape) for x in (k, v))
        keys, values = running(summarise(self.queries, *blocks)).to(k.dtype).chunk(2, -1)
        return Memory(keys, values, self._window)

    def _of_all(self, k: Tensor, v: Tensor, real: Tensor | None) -> Memory:
        content, _ = summarise(self.queries, k[:, :, None], v[:, :, None], real)
        keys, values = content.to(k.dtype).chunk(2, -1)
        return Memory(keys, values, None)

    def mean_keys(self, length: int) -> float:
        """The summaries and what is near; pooling counts as so many keys more as it has products."""
        pooled = (length - 1) // self._window * self._window if self._causal else length
        seeing = max(0, length - self._window) if self._causal else length
        n_summaries = self.queries.shape[1]
        return mean_near(length, self._reach) + n_summaries * (seeing + POOLING_KEYS * pooled) / length

    def new_cache(self, like: Tensor, shape: tuple[int, int, int], capacity: int) -> SummaryCache:
        """Room for one block and the summaries."""
        return SummaryCache(like, shape, capacity, self._window, self.queries.detach())


@ATTENTION.register("hierarchical")
def hierarchical(
    d_model: int,
    n_heads: int,
    causal: bool,
    *,
    window: Annotated[int, Ge(1)] = 256,
    summaries: Annotated[int, Ge(1)] = 64,
) -> Hierarchical:
    """The last `window` positions and learned summaries of all before; time and memory grow linearly with the length.

    Args:
        d_model: width of the residual stream.
        n_heads: heads.
        causal: later positions are not seen.
        window: positions that are seen one by one: the last so many, or so many to each side.
        summaries: keys and values of each head that stand for everything else.
    """
    return Hierarchical(n_heads, d_model // n_heads, window=window, summaries=summaries, causal=causal)

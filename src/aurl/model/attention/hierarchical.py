"""Every position looks at those near it and, through few learned summaries, at all the rest; time is linear."""

from typing import Annotated

from annotated_types import Ge
from torch import Tensor, nn

from aurl.model.attention.kinds import ATTENTION
from aurl.model.attention.near import attend_near, mean_near, near_reach
from aurl.model.attention.plan import Memory
from aurl.model.attention.summaries import Summaries
from aurl.model.attention.summary_cache import SummaryCache

FP32_BYTES = 4
POOLING_KEYS = 2
"""Where a key is pooled it costs as much as two that are looked at: key and value are both scored and both mixed."""


class Hierarchical(nn.Module):
    """A sliding window and, in the same softmax, learned summaries of all blocks before the query's own.

    Summaries stand still within a block, so that few of them exist at a time; what they do not hold yet is in the
    window. Their keys are averages of turned keys, so they stand where stands what they hold. If not causal they are
    made of the whole sequence.

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
        self.summaries = Summaries(n_heads, d_head, count=summaries, block=window)
        self._window = window
        self._causal = causal
        self._reach = near_reach(window, causal)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, real: Tensor | None = None) -> Tensor:
        """Attend over near positions and the summaries."""
        memory = self._of_pasts(k, v) if self._causal else self._of_all(k, v, real)
        mixed = attend_near(q, k, v, self._reach, real=real, memory=memory)
        # Several processes wait for each other's gradient of every parameter, however short their own pieces are.
        return mixed if memory is not None else mixed + 0.0 * self.summaries.queries.sum()

    def _of_pasts(self, k: Tensor, v: Tensor) -> Memory | None:
        n_blocks = (k.shape[2] - 1) // self._window  # all but the last, which nobody looks back on
        if n_blocks == 0:
            return None
        batch, n_heads, _, d_head = k.shape
        shape = (batch, n_heads, n_blocks, self._window, d_head)
        blocks = (x[:, :, : n_blocks * self._window].reshape(shape).transpose(1, 2) for x in (k, v))
        content = self.summaries.of_every_past(*blocks).to(k.dtype).transpose(1, 2)  # (B, H, N, S, 2 D)
        return Memory(content[..., :d_head], content[..., d_head:], self._window)

    def _of_all(self, k: Tensor, v: Tensor, real: Tensor | None) -> Memory:
        content = self.summaries.of_all(k, v, real).content.to(k.dtype)[:, :, None]
        return Memory(content[..., : k.shape[-1]], content[..., k.shape[-1] :], None)

    def mean_keys(self, length: int) -> float:
        """The summaries and what is near; pooling counts as so many keys as it costs."""
        pooled = self._pooled(length)
        seeing = max(0, length - self._window) if self._causal else length
        return mean_near(length, self._reach) + self.summaries.count * (seeing + POOLING_KEYS * pooled) / length

    def _pooled(self, length: int) -> int:
        """How many positions the summaries are made of."""
        return (length - 1) // self._window * self._window if self._causal else length

    def kept_bytes(self, length: int, width: int) -> float:
        """Scores and weights of every summary, keys and values side by side; for each block its averages."""
        n_heads, n_summaries, d_content = self.summaries.queries.shape
        rounded = width if width < FP32_BYTES else 0  # weights once more, as they are multiplied
        of_position = n_summaries * (2 * FP32_BYTES + rounded) + d_content * width
        of_block = n_summaries * d_content * 2 * (FP32_BYTES + width)
        pooled = self._pooled(length)
        blocks = pooled // self._window if self._causal else 1
        return n_heads * (pooled * of_position + blocks * of_block) / length

    def cached_keys(self, length: int) -> float:
        """A window of them, and the summaries."""
        return length if length <= self._window else self._window + self.summaries.count

    def new_cache(self, like: Tensor, shape: tuple[int, int, int], capacity: int) -> SummaryCache:
        """Room for one block and the summaries."""
        return SummaryCache(like, shape, capacity, self.summaries)


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

"""Attention to what is near, by what is fastest on the device."""

from torch import Tensor

from aurl.model.attention.banded import banded
from aurl.model.attention.blocks import block_attention
from aurl.model.attention.plan import Memory, Reach
from aurl.model.twice import is_twice


def near_reach(window: int, causal: bool) -> Reach:
    """The last `window` positions, a query's own included; if not causal, so many before it and so many after it."""
    return Reach(window - 1, 0) if causal else Reach(window, window)


def attend_near(
    q: Tensor, k: Tensor, v: Tensor, reach: Reach, *, real: Tensor | None = None, memory: Memory | None = None
) -> Tensor:
    """Attention over `(B, H, T, D)` to the positions in reach; `real` `(B, T)` matters where some are later."""
    attention = block_attention if q.device.type == "cpu" and not is_twice() else banded
    return attention(q, k, v, reach, real=real if reach.ahead else None, memory=memory)


def mean_near(length: int, reach: Reach) -> float:
    """How many positions of a sequence of `length` are in reach of a position, itself included, on average."""
    return 1 + sum(_mean_reached(length, side) for side in reach)


def _mean_reached(length: int, reach: int) -> float:
    """Positions on one side that a query sees: 0, 1, 2, … from the end of the sequence on, up to `reach`."""
    rising = min(length, reach)
    return (rising * (rising - 1) / 2 + (length - rising) * reach) / length

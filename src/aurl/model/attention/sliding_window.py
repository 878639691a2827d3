"""Every position looks at itself and those near it, before it or to both sides; memory and time are linear."""

from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from aurl.model.attention.kinds import ATTENTION
from aurl.model.attention.near import attend_near, mean_near, near_reach
from aurl.model.attention.ring import RingCache


class SlidingWindow:
    """Attention over the last `window` positions, or over so many to each side.

    Args:
        window: how many positions a query sees, itself included; if not causal, how many before it and after it.
        causal: later positions are not seen.
    """

    def __init__(self, window: int, causal: bool) -> None:
        self._window = window
        self._reach = near_reach(window, causal)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, real: Tensor | None = None) -> Tensor:
        """Attend over near positions."""
        return attend_near(q, k, v, self._reach, real=real)

    def mean_keys(self, length: int) -> float:
        """What lies in reach and in the sequence."""
        return mean_near(length, self._reach)

    def kept_bytes(self, length: int, width: int) -> float:
        """Nothing."""
        return 0.0

    def cached_keys(self, length: int) -> float:
        """A window of them."""
        return min(self._window, length)

    def new_cache(self, like: Tensor, shape: tuple[int, int, int], capacity: int) -> RingCache:
        """A ring of `window` slots, or fewer where so many will never be filled."""
        return RingCache(like, shape, capacity, self._window)


@ATTENTION.register("sliding_window")
def sliding_window(d_model: int, n_heads: int, causal: bool, *, window: Annotated[int, Ge(1)] = 512) -> SlidingWindow:
    """The last `window` positions, or so many to each side; time and memory grow linearly with the length."""
    return SlidingWindow(window, causal)

"""Heads of one layer that look back over windows of different lengths; memory and time are linear."""

from collections.abc import Sequence
from itertools import groupby
from typing import Annotated

import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from aurl.model.attention.kinds import ATTENTION
from aurl.model.attention.near import attend_near, mean_near, near_reach
from aurl.model.attention.ring import RingCache


class MultiScaleCache:
    """A ring for each scale.

    Args:
        rings: one per scale.
        sizes: heads of each scale.
    """

    def __init__(self, rings: list[RingCache], sizes: list[int]) -> None:
        self._rings = rings
        self._sizes = sizes

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Append `k`, `v` and let each head look back as far as its scale."""
        parts = zip(self._rings, *(torch.split(x, self._sizes, 1) for x in (q, k, v)), strict=True)
        return torch.cat([ring.attend(*part) for ring, *part in parts], 1)

    def step(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """One token."""
        parts = zip(self._rings, *(torch.split(x, self._sizes, 1) for x in (q, k, v)), strict=True)
        return torch.cat([ring.step(*part) for ring, *part in parts], 1)

    def select(self, rows: Tensor) -> None:
        """Keep only these batch rows."""
        for ring in self._rings:
            ring.select(rows)


class MultiScale:
    """Sliding windows whose lengths differ from head to head (Guo et al., Multi-Scale Self-Attention, AAAI 2020).

    Windows are whole, not dilated: neighbouring ids of a piece are of different types (time, pitch, velocity), so every
    n-th id is no coarser picture of the music.

    Args:
        windows: of each head in turn, itself included; if not causal, how many positions before it and after it.
        causal: later positions are not seen.
    """

    def __init__(self, windows: Sequence[int], causal: bool) -> None:
        scales = [(window, len(list(heads))) for window, heads in groupby(windows)]
        self._windows, self._sizes = [window for window, _ in scales], [size for _, size in scales]
        self._reaches = [near_reach(window, causal) for window in self._windows]

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, real: Tensor | None = None) -> Tensor:
        """Attend with every head over its own window."""
        parts = zip(*(torch.split(x, self._sizes, 1) for x in (q, k, v)), self._reaches, strict=True)
        return torch.cat([attend_near(*part, real=real) for part in parts], 1)

    def mean_keys(self, length: int) -> float:
        """Averaged over the heads as well."""
        scales = zip(self._sizes, self._reaches, strict=True)
        return sum(size * mean_near(length, reach) for size, reach in scales) / sum(self._sizes)

    def kept_bytes(self, length: int, width: int) -> float:
        """Nothing."""
        return 0.0

    def cached_keys(self, length: int) -> float:
        """A window of them for each head."""
        scales = zip(self._sizes, self._windows, strict=True)
        return sum(size * min(window, length) for size, window in scales) / sum(self._sizes)

    def new_cache(self, like: Tensor, shape: tuple[int, int, int], capacity: int) -> MultiScaleCache:
        """A ring for each scale."""
        batch, _, d_head = shape
        scales = zip(self._windows, self._sizes, strict=True)
        rings = [RingCache(like, (batch, size, d_head), capacity, window) for window, size in scales]
        return MultiScaleCache(rings, self._sizes)


def dealt(n_windows: int, n_heads: int) -> list[int]:
    """Number of the window of each head, evenly from the first to the last; a single head has the last."""
    last = n_windows - 1
    return [round(last * head / (n_heads - 1)) for head in range(n_heads)] if n_heads > 1 else [last]


@ATTENTION.register("multi_scale")
def multi_scale(
    d_model: int,
    n_heads: int,
    causal: bool,
    *,
    windows: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (64, 256, 1024),
) -> MultiScale:
    """Windows of several lengths in one layer, each for some of the heads; time and memory grow linearly.

    Args:
        d_model: width of the residual stream.
        n_heads: heads, dealt evenly to the windows; the first has the first window, the last the last.
        causal: later positions are not seen.
        windows: the last so many positions, or so many to each side.
    """
    return MultiScale([windows[place] for place in dealt(len(windows), n_heads)], causal)

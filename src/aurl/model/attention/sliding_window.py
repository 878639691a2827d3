"""Every position looks at itself and those near it, before it or to both sides; memory and time are linear."""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from aurl.model.attention.blocks import Reach, block_attention
from aurl.model.attention.kinds import ATTENTION
from aurl.model.attention.slots import Slots


def band(n_queries: int, n_before: int, window: int, device: torch.device) -> Tensor:
    """`(n_queries, n_before + n_queries)`: True where a query may look; the last key is the last query's own."""
    query = torch.arange(n_queries, device=device)[:, None] + n_before
    key = torch.arange(n_before + n_queries, device=device)
    return (key <= query) & (key > query - window)


class RingCache:
    """The last `window` keys and values; the newest overwrites the oldest, so cost per token does not grow.

    Keys carry their rotation already, so the order of the slots does not matter to a single query.

    Args:
        like: a tensor of the wanted type and device.
        shape: (B, H, D).
        capacity: most tokens that will be appended.
        window: how many positions a query sees, itself included.
    """

    def __init__(self, like: Tensor, shape: tuple[int, int, int], capacity: int, window: int) -> None:
        self.length = 0
        self._window = window
        self._slots = Slots(like, shape, min(window, capacity))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Append `k`, `v` and let each query look at the last `window` positions."""
        parts = zip(*(torch.split(x, self._window, dim=2) for x in (q, k, v)), strict=True)
        return torch.cat([self._attend_part(*part) for part in parts], dim=2)

    def _attend_part(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        size, before = self._slots.size, min(self.length, self._slots.size)
        order = torch.arange(self.length - before, self.length, device=q.device) % size
        keys = torch.cat([self._slots.keys[..., order].mT, k], dim=2)
        values = torch.cat([self._slots.values[:, :, order], v], dim=2)
        seen = band(q.shape[2], before, self._window, q.device)
        mixed = scaled_dot_product_attention(q, keys, values, attn_mask=seen)
        self.length += k.shape[2]
        kept = min(size, k.shape[2])
        newest = torch.arange(self.length - kept, self.length, device=q.device) % size
        self._slots.write(newest, k[:, :, -kept:], v[:, :, -kept:])
        return mixed

    def step(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """One token."""
        size, slot = self._slots.size, self.length % self._slots.size
        self.length += 1
        return self._slots.step(slot, min(self.length, size), q, k, v)

    def select(self, rows: Tensor) -> None:
        """Keep only these batch rows."""
        self._slots.select(rows)


def _blocks(x: Tensor, window: int) -> Tensor:
    """`(B, H, T, D)` → `(B, N, H, window, D)`; what pads the last block is later than every real query."""
    batch, n_heads, length, d_head = x.shape
    padded = pad(x, (0, 0, 0, -length % window))
    return padded.reshape(batch, n_heads, -1, window, d_head).transpose(1, 2)


def _with_previous(blocks: Tensor) -> Tensor:
    """`(B, N, H, window, D)` → `(B (N - 1), H, 2 window, D)`: all but the first, each after its predecessor."""
    return torch.cat([blocks[:, :-1], blocks[:, 1:]], dim=3).flatten(0, 1)


def banded(q: Tensor, k: Tensor, v: Tensor, *, window: int) -> Tensor:
    """Attention in blocks of `window` queries that look at their own block and the one before: one kernel call each.

    What accelerators do fastest; equal to `block_attention`.
    """
    length = q.shape[2]
    if length <= window:
        return scaled_dot_product_attention(q, k, v, is_causal=True)
    queries, keys, values = (_blocks(x, window) for x in (q, k, v))
    first = scaled_dot_product_attention(queries[:, 0], keys[:, 0], values[:, 0], is_causal=True)
    seen = band(window, window, window, q.device)
    later, pairs = queries[:, 1:], (_with_previous(keys), _with_previous(values))
    rest = scaled_dot_product_attention(later.flatten(0, 1), *pairs, attn_mask=seen)
    mixed = torch.cat([first[:, None], rest.view_as(later)], dim=1)
    return mixed.transpose(1, 2).flatten(2, 3)[:, :, :length]


class SlidingWindow:
    """Attention over the last `window` positions, or over so many to each side.

    Args:
        window: how many positions a query sees, itself included; if not causal, how many before it and after it.
        causal: later positions are not seen.
    """

    def __init__(self, window: int, causal: bool) -> None:
        self.window = window
        self.reach = Reach(window - 1, 0) if causal else Reach(window, window)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, real: Tensor | None = None) -> Tensor:
        """Attend over near positions, by what is fastest on the device."""
        if self.reach.ahead or q.device.type == "cpu":
            return block_attention(q, k, v, self.reach, real if self.reach.ahead else None)
        return banded(q, k, v, window=self.window)

    def mean_keys(self, length: int) -> float:
        """What lies in reach and in the sequence."""
        return 1 + sum(_mean_reached(length, reach) for reach in self.reach)

    def new_cache(self, like: Tensor, shape: tuple[int, int, int], capacity: int) -> RingCache:
        """A ring of `window` slots, or fewer where so many will never be filled."""
        return RingCache(like, shape, capacity, self.window)


def _mean_reached(length: int, reach: int) -> float:
    """Positions on one side that a query sees: 0, 1, 2, … from the end of the sequence on, up to `reach`."""
    rising = min(length, reach)
    return (rising * (rising - 1) / 2 + (length - rising) * reach) / length


@ATTENTION.register("sliding_window")
def sliding_window(d_model: int, n_heads: int, causal: bool, *, window: Annotated[int, Ge(1)] = 512) -> SlidingWindow:
    """The last `window` positions, or so many to each side; time and memory grow linearly with the length."""
    return SlidingWindow(window, causal)

"""Every position looks at itself and the `window - 1` positions before it; memory and time are linear in length."""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from aurl.model.attention.kinds import ATTENTION


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
        slots: how many positions are remembered.
        window: how far a query may look.
    """

    def __init__(self, like: Tensor, shape: tuple[int, int, int], slots: int, window: int) -> None:
        batch, n_heads, d_head = shape
        self.length = 0
        self._slots = slots
        self._window = window
        self._keys_values = like.new_empty(2, batch, n_heads, slots, d_head)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Append `k`, `v` and let `q` look at the last `window` positions."""
        if k.shape[2] == 1:
            slot = self.length % self._slots
            self._keys_values[0, :, :, slot] = k[:, :, 0]
            self._keys_values[1, :, :, slot] = v[:, :, 0]
            self.length += 1
            keys, values = self._keys_values[:, :, :, : self.length]
            return scaled_dot_product_attention(q, keys, values)
        parts = zip(*(torch.split(x, self._window, dim=2) for x in (q, k, v)), strict=True)
        return torch.cat([self._attend_several(*part) for part in parts], dim=2)

    def _attend_several(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        past = self._in_order()
        n_before = past.shape[3]
        keys_values = torch.cat([past, torch.stack([k, v])], dim=3)
        seen = band(q.shape[2], n_before, self._window, q.device)
        mixed = scaled_dot_product_attention(q, keys_values[0], keys_values[1], attn_mask=seen)
        self.length += k.shape[2]
        kept = min(self._slots, keys_values.shape[3])
        slots = torch.arange(self.length - kept, self.length, device=q.device) % self._slots
        self._keys_values[:, :, :, slots] = keys_values[:, :, :, -kept:]
        return mixed

    def _in_order(self) -> Tensor:
        if self.length <= self._slots:
            return self._keys_values[:, :, :, : self.length]
        return self._keys_values.roll(-(self.length % self._slots), dims=3)

    def select(self, rows: Tensor) -> None:
        """Keep only these batch rows."""
        self._keys_values = self._keys_values[:, rows]


def _with_previous(blocks: Tensor) -> Tensor:
    """`(B, N, H, window, D)` → `(B (N - 1), H, 2 window, D)`: all but the first, each after its predecessor."""
    return torch.cat([blocks[:, :-1], blocks[:, 1:]], dim=3).flatten(0, 1)


class SlidingWindow:
    """Causal attention over the last `window` positions, in blocks of `window` queries.

    Args:
        window: how many positions a query sees, itself included.
    """

    def __init__(self, window: int) -> None:
        self.window = window

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, *, dropout: float = 0.0) -> Tensor:
        """Attend in blocks: own block and the one before, under a band mask."""
        length = q.shape[2]
        if length <= self.window:
            return scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        queries, keys, values = self._blocks(q), self._blocks(k), self._blocks(v)
        first = scaled_dot_product_attention(queries[:, 0], keys[:, 0], values[:, 0], dropout_p=dropout, is_causal=True)
        seen = band(self.window, self.window, self.window, q.device)
        rest = scaled_dot_product_attention(
            queries[:, 1:].flatten(0, 1),
            _with_previous(keys),
            _with_previous(values),
            attn_mask=seen,
            dropout_p=dropout,
        )
        mixed = torch.cat([first[:, None], rest.view_as(queries[:, 1:])], dim=1)
        return mixed.transpose(1, 2).flatten(2, 3)[:, :, :length]

    def _blocks(self, x: Tensor) -> Tensor:
        """`(B, H, T, D)` → `(B, blocks, H, window, D)`; what pads the last block is later than every real query."""
        batch, n_heads, length, d_head = x.shape
        padded = pad(x, (0, 0, 0, -length % self.window))
        return padded.reshape(batch, n_heads, -1, self.window, d_head).transpose(1, 2)

    def new_cache(self, like: Tensor, shape: tuple[int, int, int], capacity: int) -> RingCache:
        """A ring of `window` slots, or fewer where so many will never be filled."""
        return RingCache(like, shape, min(self.window, capacity), self.window)


@ATTENTION.register("sliding_window")
def sliding_window(d_model: int, n_heads: int, *, window: Annotated[int, Ge(1)] = 512) -> SlidingWindow:
    """The last `window` positions; time and memory grow linearly with the length."""
    return SlidingWindow(window)

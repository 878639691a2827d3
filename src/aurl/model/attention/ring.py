"""The last keys and values of a sequence."""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from aurl.model.attention.banded import band
from aurl.model.attention.slots import Slots


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
        keys, values = (torch.cat(pair, dim=2) for pair in zip(self._slots.read(order), (k, v), strict=True))
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

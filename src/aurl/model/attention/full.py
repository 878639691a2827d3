"""Every position looks at itself and all positions before it."""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from aurl.model.attention.blocks import block_attention
from aurl.model.attention.kinds import ATTENTION
from aurl.model.attention.slots import Slots


class FullCache:
    """Preallocated keys and values, sliced to their filled length.

    Args:
        like: a tensor of the wanted type and device.
        shape: (B, H, D).
        capacity: most tokens that will be appended.
    """

    def __init__(self, like: Tensor, shape: tuple[int, int, int], capacity: int) -> None:
        self.length = 0
        self._slots = Slots(like, shape, capacity)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Append `k`, `v` and let `q` look at all that is filled."""
        start, n_new = self.length, k.shape[2]
        self.length += n_new
        self._slots.write(slice(start, self.length), k, v)
        if start == 0:
            return attend_all(q, k, v)
        seen = torch.ones(n_new, self.length, dtype=torch.bool, device=q.device).tril(start)
        keys, values = self._slots.keys[..., : self.length].mT, self._slots.values[:, :, : self.length]
        return scaled_dot_product_attention(q, keys, values, attn_mask=seen)

    def step(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """One token."""
        slot = self.length
        self.length += 1
        return self._slots.step(slot, self.length, q, k, v)

    def select(self, rows: Tensor) -> None:
        """Keep only these batch rows."""
        self._slots.select(rows)


def attend_all(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention over everything, by what is fastest on the device."""
    if q.device.type == "cpu":
        return block_attention(q, k, v)
    return scaled_dot_product_attention(q, k, v, is_causal=True)


class Full:
    """Causal attention over the whole past; memory is linear in the length, time quadratic."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend over all earlier positions."""
        return attend_all(q, k, v)

    def mean_keys(self, length: int) -> float:
        """From 1 to `length`."""
        return (length + 1) / 2

    def new_cache(self, like: Tensor, shape: tuple[int, int, int], capacity: int) -> FullCache:
        """Room for `capacity` tokens."""
        return FullCache(like, shape, capacity)


@ATTENTION.register("full")
def full(d_model: int, n_heads: int) -> Full:
    """All earlier positions; time grows with the square of the length."""
    return Full()

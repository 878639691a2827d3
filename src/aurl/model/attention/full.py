"""Every position looks at itself and all positions before it, or at all there are."""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from aurl.model.attention.blocks import block_attention
from aurl.model.attention.kinds import ATTENTION
from aurl.model.attention.plan import Reach
from aurl.model.attention.slots import Slots
from aurl.model.twice import is_twice


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
        self._slots.write(torch.arange(start, self.length, device=k.device), k, v)
        if start == 0:
            return attend_all(q, k, v, causal=True)
        seen = torch.ones(n_new, self.length, dtype=torch.bool, device=q.device).tril(start)
        keys, values = self._slots.read(torch.arange(self.length, device=k.device))
        return scaled_dot_product_attention(q, keys, values, attn_mask=seen)

    def step(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """One token."""
        slot = self.length
        self.length += 1
        return self._slots.step(slot, self.length, q, k, v)

    def select(self, rows: Tensor) -> None:
        """Keep only these batch rows."""
        self._slots.select(rows)


def attend_all(q: Tensor, k: Tensor, v: Tensor, *, causal: bool, real: Tensor | None = None) -> Tensor:
    """Attention over everything, by what is fastest on the device."""
    if q.device.type == "cpu" and not is_twice():
        return block_attention(q, k, v, Reach(q.shape[2], 0 if causal else q.shape[2]), real=None if causal else real)
    if causal or real is None:
        return scaled_dot_product_attention(q, k, v, is_causal=causal)
    return scaled_dot_product_attention(q, k, v, attn_mask=real[:, None, None])


class Full:
    """Attention over the whole past, or everything; memory is linear in the length, time quadratic.

    Args:
        causal: later positions are not seen.
    """

    def __init__(self, causal: bool) -> None:
        self._causal = causal

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, real: Tensor | None = None) -> Tensor:
        """Attend over all earlier positions, or all."""
        return attend_all(q, k, v, causal=self._causal, real=real)

    def mean_keys(self, length: int) -> float:
        """From 1 to `length`, or always `length`."""
        return (length + 1) / 2 if self._causal else length

    def kept_bytes(self, length: int, width: int) -> float:
        """Nothing."""
        return 0.0

    def cached_keys(self, length: int) -> float:
        """All."""
        return length

    def new_cache(self, like: Tensor, shape: tuple[int, int, int], capacity: int) -> FullCache:
        """Room for `capacity` tokens."""
        return FullCache(like, shape, capacity)


@ATTENTION.register("full")
def full(d_model: int, n_heads: int, causal: bool) -> Full:
    """All earlier positions, or all; time grows with the square of the length."""
    return Full(causal)

"""Every position looks at itself and all positions before it."""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from aurl.model.attention.kinds import ATTENTION


class FullCache:
    """Preallocated keys and values, sliced to their filled length.

    Args:
        like: a tensor of the wanted type and device.
        shape: (B, H, D).
        capacity: most tokens that will be appended.
    """

    def __init__(self, like: Tensor, shape: tuple[int, int, int], capacity: int) -> None:
        batch, n_heads, d_head = shape
        self.length = 0
        self._keys_values = like.new_empty(2, batch, n_heads, capacity, d_head)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Append `k`, `v` and let `q` look at all that is filled."""
        start, n_new = self.length, k.shape[2]
        self.length = start + n_new
        filled = self._keys_values[:, :, :, : self.length]
        filled[0, :, :, start:] = k
        filled[1, :, :, start:] = v
        if n_new == 1:
            return scaled_dot_product_attention(q, filled[0], filled[1])
        if start == 0:
            return scaled_dot_product_attention(q, k, v, is_causal=True)
        seen = torch.ones(n_new, self.length, dtype=torch.bool, device=q.device).tril(start)
        return scaled_dot_product_attention(q, filled[0], filled[1], attn_mask=seen)

    def select(self, rows: Tensor) -> None:
        """Keep only these batch rows."""
        self._keys_values = self._keys_values[:, rows]


class Full:
    """Causal attention over the whole past; memory is linear in length, time quadratic."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, *, dropout: float = 0.0) -> Tensor:
        """Attend over all earlier positions."""
        return scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)

    def new_cache(self, like: Tensor, shape: tuple[int, int, int], capacity: int) -> FullCache:
        """Room for `capacity` tokens."""
        return FullCache(like, shape, capacity)


@ATTENTION.register("full")
def full(d_model: int, n_heads: int) -> Full:
    """All earlier positions; time grows with the square of the length."""
    return Full()

"""What an attention kind is: how queries mix values, all at once; if causal in parts and one token at a time."""

from typing import Protocol

from torch import Tensor

from aurl.registry import Registry


class LayerCache(Protocol):
    """Keys and values of one layer, as much of them as the kind still needs. No gradients."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Append `k`, `v` and let `q` look back; all `(B, H, T, D)`, any T ≥ 1."""
        ...

    def step(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The same for one token, `(B, H, D)`, with `q` scaled by 1 / √D already."""
        ...

    def select(self, rows: Tensor) -> None:
        """Keep only these batch rows, in this order."""
        ...


class AttentionKind(Protocol):
    """Attention over `(B, H, T, D)`: causal, and then equal with and without its cache, or to both sides."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, real: Tensor | None = None) -> Tensor:
        """Every query looks at its own and earlier positions, at later ones too if not causal.

        `real` `(B, T)` says which positions are no padding. Nobody sees padding, and what it gets itself is finite and
        without meaning. A causal kind needs it not, for padding stands at the end.
        """
        ...

    def mean_keys(self, length: int) -> float:
        """How many keys a query of a sequence of `length` sees, averaged over its queries."""
        ...

    def kept_bytes(self, length: int, width: int) -> float:
        """What training keeps of each position beside queries, keys, values and what comes of them.

        `width` is that of a number in the forward pass, in bytes.
        """
        ...

    def cached_keys(self, length: int) -> float:
        """How many keys the cache of a piece of `length` holds, averaged over the heads; as many values."""
        ...

    def new_cache(self, like: Tensor, shape: tuple[int, int, int], capacity: int) -> LayerCache:
        """Room for `capacity` tokens of `shape` = (B, H, D), of the type and device of `like`; causal kinds only."""
        ...


ATTENTION: Registry[AttentionKind] = Registry("attention")
"""Factories are called with (d_model, n_heads, causal) and the options of the profile."""

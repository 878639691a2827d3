"""Levels of latents, from the whole window down to a few tokens."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

GLOBAL, LOCAL, FINE = LEVEL_NAMES = ("global", "local", "fine")
"""Coarse to fine."""
Latents = Mapping[str, Tensor]
"""Level name → (B, n, size); there is one global latent (n = 1), one local or fine latent for each segment."""


@dataclass(frozen=True, slots=True)
class Level:
    """One level.

    Args:
        name: of `LEVEL_NAMES`.
        size: dimensions of each latent.
        tokens: how many tokens share one; None: all tokens of a window.
    """

    name: str
    size: int
    tokens: int | None = None

    def count(self, length: int) -> int:
        """How many latents `length` tokens have."""
        return 1 if self.tokens is None else -(-length // self.tokens)

    def segment_of(self, positions: Tensor) -> Tensor:
        """Which latent belongs to the tokens at `positions`, counted from 0."""
        return positions.new_zeros(positions.shape) if self.tokens is None else positions // self.tokens

"""Rotary positions: some pairs of every head turn with the token's index, the others with the music's time.

Attention then sees directly how many tokens ago something was and also how many beats ago: a bar earlier is the same
turn wherever it stands.
"""

import math

import torch
from torch import Tensor, nn

INDEX_BASE = 10_000.0
PERIODS_STEPS = tuple(sorted([2**k for k in range(3, 15)] + [3 * 2**k for k in range(5, 9)]))
"""Lengths of a full turn in steps: from a sixteenth note to 512 beats, with bars of three beats and their multiples."""

Rotation = tuple[Tensor, Tensor]


class Rotary(nn.Module):
    """Turns of each pair of a head's dimensions.

    Args:
        d_head: dimensions of a head, even.
    """

    periods: Tensor
    frequencies: Tensor

    def __init__(self, d_head: int) -> None:
        super().__init__()
        n_time = min(d_head // 4, len(PERIODS_STEPS))
        n_index = d_head // 2 - n_time
        chosen = torch.linspace(0, len(PERIODS_STEPS) - 1, n_time).round().long()
        self.register_buffer("periods", torch.tensor(PERIODS_STEPS)[chosen], persistent=False)
        self.register_buffer("frequencies", INDEX_BASE ** -(torch.arange(n_index) / n_index), persistent=False)

    def forward(self, index: Tensor, elapsed_steps: Tensor) -> Rotation:
        """Cosines and signed sines `(B, 1, T, d_head)` for token indices `(T,)` and elapsed steps `(B, T)`."""
        turned = (elapsed_steps[..., None] % self.periods) * (2 * math.pi / self.periods)
        by_index = index[:, None].float() * self.frequencies
        angles = torch.cat([turned, by_index.expand(*turned.shape[:2], -1)], dim=-1)[:, None]
        cos, sin = angles.cos(), angles.sin()
        return torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn `x` `(…, B, H, T, D)`; dimension i is paired with i + D / 2 (Su et al., 2021)."""
    cos, sin = (part.to(x.dtype) for part in rotation)
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)

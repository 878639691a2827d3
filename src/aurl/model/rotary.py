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


class Rotary(nn.Module):
    """Turns of each pair of a head's dimensions, as complex numbers of length 1.

    Args:
        d_head: dimensions of a head, even.
    """

    periods: Tensor
    rates: Tensor
    frequencies: Tensor

    def __init__(self, d_head: int) -> None:
        super().__init__()
        n_time = min(d_head // 4, len(PERIODS_STEPS))
        n_index = d_head // 2 - n_time
        chosen = torch.linspace(0, len(PERIODS_STEPS) - 1, n_time).round().long()
        periods = torch.tensor(PERIODS_STEPS)[chosen]
        self.register_buffer("periods", periods, persistent=False)
        self.register_buffer("rates", 2 * math.pi / periods, persistent=False)
        self.register_buffer("frequencies", INDEX_BASE ** -(torch.arange(n_index) / n_index), persistent=False)

    def forward(self, index: Tensor, elapsed_steps: Tensor) -> Tensor:
        """`(B, 1, T, d_head / 2)` complex, for token indices `(T,)` and elapsed steps `(B, T)`."""
        by_time = (elapsed_steps[..., None] % self.periods) * self.rates
        by_index = (index[:, None] * self.frequencies).expand(*elapsed_steps.shape, -1)
        angles = torch.cat([by_time, by_index], dim=-1)[:, None]
        return torch.polar(torch.ones_like(angles), angles)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn `x` `(…, B, H, T, D)`, whose neighbouring dimensions are pairs (Su et al., 2021).

    One complex product in fp32: half the time of real arithmetic on a CPU, forward and backward.
    """
    pairs = torch.view_as_complex(x.float().view(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)

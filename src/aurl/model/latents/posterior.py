"""What an encoder says about the latents of one level."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Posterior(NamedTuple):
    """Diagonal normal distributions over the latents of one level, and a draw from each.

    Args:
        mean: (B, n, size).
        log_variance: (B, n, size).
        z: (B, n, size), drawn with gradient (Kingma & Welling, 2014), or the mean itself.
        real: (B, n) bool, False where a segment holds nothing but padding.
    """

    mean: Tensor
    log_variance: Tensor
    z: Tensor
    real: Tensor

    def log_prob(self) -> Tensor:
        """`(B, n)`: log density of `z` in nats."""
        squares = (self.z - self.mean).square() * torch.exp(-self.log_variance)
        return -0.5 * (squares + self.log_variance + math.log(2 * math.pi)).sum(-1)

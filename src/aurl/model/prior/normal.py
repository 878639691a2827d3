"""Normal distributions whose parameters come from a context."""

import math

import torch
from torch import Tensor, nn

LOG_VARIANCE_LIMIT = 12.0
"""Log-variances stay between −12 and 12, as do those of posteriors: an exponential of more helps nothing, and one wild
step of training could not be undone."""


class FromContext(nn.Module):
    """Numbers that are linear in a context, or simply learned where there is none.

    Args:
        context_size: dimensions of the context, 0 for none.
        initial: `(n,)`, what they are at first, whatever the context.
    """

    def __init__(self, context_size: int, initial: Tensor) -> None:
        super().__init__()
        self.bias = nn.Parameter(initial)
        self.weight = nn.Parameter(initial.new_zeros(len(initial), context_size)) if context_size else None

    def forward(self, context: Tensor | None) -> Tensor:
        """`(…, n)` for contexts `(…, context_size)`, `(n,)` without."""
        if self.weight is None:
            return self.bias
        if context is None:
            raise ValueError("a conditional distribution needs its context")
        return nn.functional.linear(context, self.weight, self.bias)


def bounded(x: Tensor, limit: float) -> Tensor:
    """Between −limit and limit; near 0 what it was."""
    return limit * torch.tanh(x / limit)


def log_density(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log density in nats of independent normals, summed over the last dimension."""
    squares = (z - mean).square() * torch.exp(-log_variance)
    return -0.5 * (squares + log_variance + math.log(2 * math.pi)).sum(-1)

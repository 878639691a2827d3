"""An exponential moving average of the weights that is already useful in short runs (torch's own AveragedModel)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

WARMUP_OFFSET = 10
"""After n updates the average reaches back about (n + 10) / 9 of them until that exceeds 1 / (1 − decay)."""


def decay_at(updates: int, decay: float) -> float:
    """Weight of the old average at an update that follows `updates` others: min(decay, (1 + n) / (10 + n))."""
    return min(decay, (1 + updates) / (WARMUP_OFFSET + updates))


def average_weights(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of `model` that follows it; call `update_parameters(model)` after each step.

    Args:
        model: not wrapped by anything.
        decay: of the average once it is warm, 0–1.
    """

    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], _: Tensor | int) -> None:
        weight = 1.0 - decay_at(int(average.n_averaged), decay)
        torch._foreach_lerp_(list(averaged), list(current), weight)

    average = AveragedModel(model, multi_avg_fn=torch.no_grad()(update))
    return average.eval()

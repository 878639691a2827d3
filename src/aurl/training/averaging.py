"""Averages of the weights (torch's own AveragedModel): an exponential one of all of them, an equal one of the last."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

WARMUP_OFFSET = 10
"""After n updates the average reaches back about (n + 10) / 9 of them until that exceeds 1 / (1 − decay)."""

NEVER = 1.0
"""Share of the training after which the last average does not begin."""


def decay_at(updates: int, decay: float) -> float:
    """Weight of the old average at an update that follows `updates` others: min(decay, (1 + n) / (10 + n))."""
    return min(decay, (1 + updates) / (WARMUP_OFFSET + updates))


def average_weights(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of `model` that follows it; call `update_parameters(model)` after each step.

    Args:
        model: not wrapped by anything.
        decay: of the average once it is warm, 0–1.
    """
    return _average(model, lambda updates: 1.0 - decay_at(updates, decay))


def equal_weights(model: nn.Module) -> AveragedModel:
    """A copy of `model` that becomes the mean of all that `update_parameters` is shown."""
    return _average(model, lambda updates: 1.0 / (1 + updates))


def _average(model: nn.Module, share: Callable[[int], float]) -> AveragedModel:
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], _: Tensor | int) -> None:
        torch._foreach_lerp_(list(averaged), list(current), share(int(average.n_averaged)))

    average = AveragedModel(model, multi_avg_fn=torch.no_grad()(update))
    return average.eval()


class LastAverage:
    """The equal mean of the weights after each update of the last part of training (SWA, Izmailov et al., UAI 2018).

    Once it has begun it does not end, wherever the horizon moves to.

    Args:
        model: not wrapped by anything.
        start: share of training after which it begins, 0–1.
        lr_ratio: of the peak rate, which is kept to meanwhile; a rate that falls would make all weights alike.
    """

    def __init__(self, model: nn.Module, *, start: float, lr_ratio: float) -> None:
        self.average = equal_weights(model)
        self.begun = False
        self._start, self._lr_ratio = start, lr_ratio

    def enter(self, done: float, *, lr: float, peak_lr: float) -> float:
        """The learning rate of an update.

        Args:
            done: share of the training before it.
            lr: what the schedule says.
            peak_lr: its highest rate.
        """
        self.begun = self.begun or done >= self._start
        return peak_lr * self._lr_ratio if self.begun else lr

    def update_parameters(self, model: nn.Module) -> None:
        """Take the weights after an update in, if it has begun."""
        if self.begun:
            self.average.update_parameters(model)

    @property
    def updates(self) -> int:
        """How many weights it is the mean of."""
        return int(self.average.n_averaged)

    def state_dict(self) -> dict[str, Any]:
        """All but the weights."""
        return {"begun": self.begun, "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.begun = bool(state["begun"])
        self.average.n_averaged.fill_(int(state["updates"]))


@dataclass(frozen=True)
class Averages:
    """The averages that a run keeps.

    Args:
        ema: exponential one, None without.
        last: equal one of the last part of training, None without.
    """

    ema: AveragedModel | None = None
    last: LastAverage | None = None

    def follow(self, model: nn.Module) -> None:
        """Take the weights after an update in."""
        if self.ema is not None:
            self.ema.update_parameters(model)
        if self.last is not None:
            self.last.update_parameters(model)

    @property
    def evaluated(self) -> AveragedModel | None:
        """What is validated and kept as best instead of the weights themselves: the last one, once it has begun."""
        return self.last.average if self.last is not None and self.last.updates else self.ema

"""Lion: a step of the same length for every number, in the direction of a momentum's sign."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

MOMENTUM = "exp_avg"
"""Name of its only state, as AdamW calls its own."""


class Lion(Optimizer):
    """Chen et al. 2023, arXiv 2302.06675, algorithm 2, with decoupled weight decay.

    Every step moves each parameter by `lr`, however small its gradient is; rates are 3 to 10 times smaller than
    AdamW's, and weight decay as many times larger.

    Args:
        groups: of parameters, with a `weight_decay` each.
        lr: learning rate.
        betas: share of the momentum in the direction of a step, and in the momentum after it, both 0–1.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float, betas: tuple[float, float]) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        if closure is not None:
            raise ValueError("no closure is taken: gradients are computed before the step")
        for group in self.param_groups:
            trained = [parameter for parameter in group["params"] if parameter.grad is not None]
            if trained:
                self._step(trained, group["lr"], group["betas"], group["weight_decay"])

    def _step(self, trained: list[Tensor], lr: float, betas: tuple[float, float], weight_decay: float) -> None:
        gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
        momenta = [self._momentum(parameter) for parameter in trained]
        direction = torch._foreach_lerp(momenta, gradients, 1.0 - betas[0])
        torch._foreach_sign_(direction)
        torch._foreach_mul_(trained, 1.0 - lr * weight_decay)
        torch._foreach_add_(trained, direction, alpha=-lr)
        torch._foreach_lerp_(momenta, gradients, 1.0 - betas[1])

    def _momentum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if MOMENTUM not in state:
            state[MOMENTUM] = torch.zeros_like(parameter)
        momentum: Tensor = state[MOMENTUM]
        return momentum

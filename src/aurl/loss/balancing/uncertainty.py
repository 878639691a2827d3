"""Weights by learned uncertainties (Kendall, Gal & Cipolla, CVPR 2018)."""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from annotated_types import Gt, Le
from torch import Tensor

from aurl.loss.balancing.kinds import BALANCERS, BalanceContext
from aurl.loss.balancing.learned import Learned
from aurl.loss.terms import ADVERSARIAL, Outcome
from aurl.tokens.vocabulary import PAD


class Uncertainty:
    """Divides each cost by what it is in the mean of a target.

    With s the log-variance of a cost of L per target, weight × (exp(-s) L + s) is minimised over s, too: by a step of
    gradient descent after each update, of a gradient that is clipped to ±1. It rests at s = log L, where the cost
    counts as much as its weight says, in whatever unit it is. A cost that is not positive has no uncertainty: while it
    is none, s stays. (s itself is left out of the sum: it does not reach the model.)

    Args:
        context: costs are means over all processes.
        rate: length of a step.
        limit: largest factor; the smallest is one by it.
        kl: whether KL divergences are divided, too.
    """

    def __init__(self, context: BalanceContext, *, rate: float, limit: float, kl: bool) -> None:
        self._context, self._rate, self._kl = context, rate, kl
        self._learned = Learned(limit)
        self._sums: dict[str, Tensor] = {}
        self._targets: dict[str, Tensor] = {}

    def total(self, costs: Mapping[str, Tensor], weights: Mapping[str, float], outcome: Outcome) -> Tensor:
        """The sum of weight × exp(-s) × cost."""
        total = outcome.logits.new_zeros((), dtype=torch.float32)
        targets = (outcome.targets != PAD).sum().float()
        moved = self._context.moved(weights, kl=self._kl)
        for name in moved:
            self._sums.setdefault(name, torch.zeros_like(total))
            self._targets.setdefault(name, torch.zeros_like(total))
        for name, cost in costs.items():
            if name not in moved:
                total = total + weights[name] * cost
                continue
            total = total + weights[name] * self._learned.factor(name) * cost
            self._sums[name] += cost.detach()
            self._targets[name] += targets
        return total

    def begin(self) -> None:
        """Forget what has been added up since the last step."""
        self._sums, self._targets = {}, {}

    def step(self) -> None:
        """One step of every s."""
        if not self._sums:
            return
        names = list(self._sums)
        own = torch.stack([*self._sums.values(), *self._targets.values()])
        sums, targets = self._context.add_up(own).chunk(2)
        mean = sums / targets.clamp(min=1)
        log = self._learned.logs(names, mean.device)  # of the factor, which is -s
        slope = (mean * log.exp() - 1).clamp(-1, 1)
        self._learned.put(names, log - self._rate * slope, (mean > 0) & mean.isfinite())
        self.begin()

    @property
    def factors(self) -> dict[str, float]:
        """`exp(-s)` of each cost."""
        return self._learned.factors

    def state_dict(self) -> dict[str, Any]:
        """Logarithms of the factors."""
        return {"uncertainty": self._learned.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self._learned.load_state_dict(state.get("uncertainty", {}))


@BALANCERS.register("uncertainty")
def uncertainty(
    context: BalanceContext,
    *,
    rate: Annotated[float, Gt(0), Le(1)] = 0.01,
    limit: Annotated[float, Gt(1)] = 10.0,
    kl: bool = False,
) -> Uncertainty:
    """Each cost divided by its own size, which is learned (Kendall et al., CVPR 2018); weights are shares of a nat.

    The bound, hints and the adversary keep their weights: the others are measured by the first, and deceiving is no
    likelihood.

    Args:
        context: of the objective.
        rate: most by which the logarithm of a factor changes in an update.
        limit: largest factor of a weight; the smallest is one by it.
        kl: divide KL divergences, too; beta is then their share of a nat.
    """
    kept = BalanceContext(context.add_up, context.left | {ADVERSARIAL})
    return Uncertainty(kept, rate=rate, limit=limit, kl=kl)

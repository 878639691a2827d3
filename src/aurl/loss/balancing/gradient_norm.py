"""Weights as shares of the gradient of the bound (GradNorm, Chen et al., ICML 2018; EnCodec, Défossez et al., 2022)."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from aurl.loss.balancing.kinds import BALANCERS, BalanceContext, is_of_bound
from aurl.loss.terms import Outcome


class GradientNorm:
    """Makes the gradient of each cost as long as that of the bound with its hints, times its weight.

    Gradients are measured where what a cost is about leaves the model, not at its parameters: at the logits for what
    depends on them, as EnCodec does at its output, and at means and log-variances of the posteriors for what depends on
    latents alone. The first costs next to nothing, the second one backward pass through the decoder. Such gradients of
    different windows lie side by side, so that squares of their norms add up over batches and processes to those of all
    windows together. A factor is the geometric moving average of what is found.

    Args:
        context: norms are of all processes together.
        every: updates between two measurements.
        decay: of the average.
        limit: largest factor; the smallest is one by it.
        kl: whether KL divergences are moved, too.
    """

    def __init__(self, context: BalanceContext, *, every: int, decay: float, limit: float, kl: bool) -> None:
        self._context, self._every, self._decay, self._kl = context, every, decay, kl
        self._bound = math.log(limit)
        self._logs: dict[str, float] = {}
        self._updates = 0
        self._names: list[str] = []
        self._squares: Tensor | None = None

    def total(self, costs: Mapping[str, Tensor], weights: Mapping[str, float], outcome: Outcome) -> Tensor:
        """The sum of weight × factor × cost; now and then gradients are measured."""
        moved = [name for name in self._context.moved(weights, kl=self._kl) if weights[name]]
        if moved and self._updates % self._every == 0:
            of_bound = (weights[name] * cost for name, cost in costs.items() if is_of_bound(name, kl=not self._kl))
            bound = sum(of_bound, start=outcome.logits.new_zeros(()))
            squares = _squares(bound, [costs.get(name) for name in moved], outcome)
            self._names, self._squares = moved, squares if self._squares is None else self._squares + squares
        factors = self.factors
        weighted = (weights[name] * factors.get(name, 1.0) * cost for name, cost in costs.items())
        return sum(weighted, start=outcome.logits.new_zeros(()))

    def begin(self) -> None:
        """Forget what has been measured since the last step."""
        self._squares = None

    def step(self) -> None:
        """Take up what was measured; waits for the device only then."""
        self._updates += 1
        if self._squares is None:
            return
        squares = self._context.add_up(self._squares).tolist()
        self._squares = None
        for name, of_cost, of_bound in zip(self._names, *squares, strict=True):
            # 0: nothing to be learned of it at present; infinite or no number: half precision has overflown.
            if of_cost > 0 and of_bound > 0 and math.isfinite(of_cost + of_bound):
                self._follow(name, 0.5 * math.log(of_bound / of_cost))

    def _follow(self, name: str, log: float) -> None:
        log = max(-self._bound, min(self._bound, log))
        self._logs[name] = self._decay * self._logs.get(name, log) + (1 - self._decay) * log

    @property
    def factors(self) -> dict[str, float]:
        """Of each cost that has been measured."""
        return {name: math.exp(log) for name, log in self._logs.items()}

    def state_dict(self) -> dict[str, Any]:
        """Logarithms of the factors, and how long ago gradients were measured."""
        return {"gradient_norm": dict(self._logs), "updates": self._updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self._logs = {name: float(log) for name, log in state.get("gradient_norm", {}).items()}
        self._updates = int(state.get("updates", 0))


def _squares(bound: Tensor, costs: Sequence[Tensor | None], outcome: Outcome) -> Tensor:
    """`(2, len(costs))`: squared norm of the gradient of each cost, and of the bound's at the same place."""
    posteriors = {} if outcome.latent is None else outcome.latent.posteriors
    latents = [tensor for posterior in posteriors.values() for tensor in (posterior.mean, posterior.log_variance)]
    places = ([outcome.logits], latents)
    nothing = outcome.logits.new_zeros((), dtype=torch.float32)
    of_bound: dict[int, Tensor | None] = {}
    rows = []
    for cost in costs:
        found = ((place, _square(cost, points)) for place, points in enumerate(places))
        place, own = next(((place, square) for place, square in found if square is not None), (0, None))
        if own is not None and place not in of_bound:
            of_bound[place] = _square(bound, places[place])
        pair = (own, of_bound[place]) if own is not None else (None, None)
        rows.append(torch.stack([nothing if square is None else square for square in pair]))
    return torch.stack(rows, 1)


def _square(cost: Tensor | None, points: Sequence[Tensor]) -> Tensor | None:
    """Squared norm of the gradient of `cost` at all `points`; None where it does not depend on any.

    Only what lies between is asked: no parameter's gradient is touched, and processes do not notice.
    """
    if cost is None or not cost.requires_grad:
        return None
    asked = [point for point in points if point.requires_grad]
    gradients = torch.autograd.grad(cost, asked, retain_graph=True, allow_unused=True) if asked else ()
    squares = [gradient.float().square().sum() for gradient in gradients if gradient is not None]
    return torch.stack(squares).sum() if squares else None


@BALANCERS.register("gradient_norm")
def gradient_norm(
    context: BalanceContext,
    *,
    every: Annotated[int, Ge(1)] = 20,
    decay: Annotated[float, Ge(0), Lt(1)] = 0.9,
    limit: Annotated[float, Gt(1)] = 100.0,
    kl: bool = False,
) -> GradientNorm:
    """Weights are shares of the gradient of the bound (Chen et al., ICML 2018; measured at the output as in EnCodec).

    Args:
        context: of the objective.
        every: updates between two measurements.
        decay: of the moving average of what is measured.
        limit: largest factor of a weight; the smallest is one by it.
        kl: balance KL divergences, too; beta is then their share of the gradient.
    """
    return GradientNorm(context, every=every, decay=decay, limit=limit, kl=kl)

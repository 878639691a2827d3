"""The law that fits measured losses best, and how sure it is.

As Hoffmann et al. (2022) do: the Huber loss of the difference of logarithms, by L-BFGS from a grid of starts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aurl.errors import UsageError
from aurl.tuning.scaling.law import Law

HUBER = 1e-3
"""Difference of logarithms from which on an outlier counts linearly."""
STARTS = (
    (0.0, 5.0, 10.0, 15.0, 20.0, 25.0),
    (0.0, 5.0, 10.0, 15.0, 20.0, 25.0),
    (-1.0, -0.5, 0.0, 0.5, 1.0),
    (0.0, 0.5, 1.0, 1.5, 2.0),
    (0.0, 0.5, 1.0, 1.5, 2.0),
)
"""Of log A, log B, log E, α, β."""
BEST_STARTS = 8
"""Those of the grid that are gone on from: the others end in the same places."""
MAX_ITERATIONS = 200
REPEATS = 100
"""Of the fit on losses that are drawn anew."""
HIGHEST_EXPONENT = STARTS[-1][-1]
"""Published ones are below 1."""
LEAST_SOUND = 0.8
"""Share of them whose exponents are possible; where there are fewer, an interval of nine in ten would mean nothing."""
NUMBERS = 5
FEWEST_POINTS, FEWEST_EACH, LEAST_SPAN = 6, 3, 2.0
"""Points in all; different sizes, and amounts of music; and how many times the smallest the largest is at least."""
SAME = 1.05
"""Sizes or amounts that differ by less are one."""


@dataclass(frozen=True)
class Point:
    """A model that was trained.

    Args:
        name: of its run.
        parameters: that it has.
        tokens: targets that it has learned.
        loss: nats per target of music that it has not seen.
    """

    name: str
    parameters: int
    tokens: int
    loss: float


@dataclass(frozen=True)
class Fit:
    """A law that was fitted.

    Args:
        law: the best one.
        others: laws that fit losses which are drawn anew, scattered about the best as the measured ones are; those
            without sense, of which there are few, are left out.
        spread: standard deviation of the logarithm of a measured loss about the law.
    """

    law: Law
    others: tuple[Law, ...]
    spread: float

    def interval(self, of: Callable[[Law], float]) -> tuple[float, float]:
        """Where nine in ten of all the laws see a number."""
        low, high = np.quantile([of(law) for law in self.others], (0.05, 0.95))
        return float(low), float(high)


def fit_law(points: Sequence[Point], *, seed: int = 0, repeats: int = REPEATS) -> Fit:
    """The law of some points.

    Sizes and amounts are chosen, so for the intervals it is the differences from the law that are drawn anew.

    Args:
        points: of one data set and one kind of model.
        seed: of what is drawn anew.
        repeats: how often.

    Raises:
        UsageError: there are too few points, or what they say is no law of this form.
    """
    check_points(points)
    sizes, amounts, losses = (np.log([getattr(point, name) for point in points]) for name in _MEASURED)
    problem = _Problem(sizes, amounts)
    best = min((problem.solve(losses, start) for start in problem.starts(losses)), key=lambda solved: solved[0])[1]
    law = problem.law(best)
    if fault := fault_of(law):
        raise UsageError(
            f"in these runs {fault}: there is nothing to foretell from them",
            hint="train longer, with sizes further apart",
        )
    differences = losses - problem.fitted(best)
    inflation = (len(points) / max(1, len(points) - NUMBERS)) ** 0.5  # five numbers have been taken from them
    rng = np.random.default_rng(seed)
    others = []
    for _ in range(repeats):
        drawn = problem.fitted(best) + inflation * rng.choice(differences, len(points))
        others.append(problem.law(problem.solve(drawn, best)[1]))
    sound = tuple(other for other in others if not fault_of(other))
    if len(sound) < LEAST_SOUND * repeats:
        raise UsageError(
            f"these runs scatter too much: only {len(sound)} of {repeats} laws that they could have shown make sense",
            hint="train more of them, longer, with sizes further apart",
        )
    return Fit(law, sound, float(inflation * differences.std()))


_MEASURED = ("parameters", "tokens", "loss")


def check_points(points: Sequence[Point]) -> None:
    """Make sure that there is something to fit.

    Raises:
        UsageError: there is not; the message says what is missing.
    """
    if len(points) < FEWEST_POINTS:
        raise UsageError(
            f"a law of {NUMBERS} numbers cannot be told from {len(points)} runs: at least {FEWEST_POINTS} are needed",
            hint="train more: at least three sizes, each for three lengths",
        )
    for name, what in (("parameters", "sizes"), ("tokens", "amounts of music")):
        values = sorted(getattr(point, name) for point in points)
        different = 1 + sum(later > SAME * earlier for earlier, later in pairwise(values))
        if different < FEWEST_EACH or values[-1] < LEAST_SPAN * values[0]:
            raise UsageError(
                f"{different} different {what} from {values[0]:,} to {values[-1]:,} say nothing of others",
                hint=f"at least {FEWEST_EACH} are needed, the largest {LEAST_SPAN:g} times the smallest",
            )


def fault_of(law: Law) -> str:
    """Why nothing can be foretold from a law, "" where something can."""
    for exponent, what in ((law.size_exponent, "larger models are"), (law.data_exponent, "models of more music are")):
        if not exponent > 0:
            return f"{what} no better"
        if exponent > HIGHEST_EXPONENT:
            return f"{what} better by a step, not by a law (exponent {exponent:.3g})"
    return ""


class _Problem:
    """Points that are fitted; sizes and amounts are counted from their means, for then the numbers hardly interact.

    Args:
        sizes: logarithms of parameters.
        amounts: logarithms of targets.
    """

    def __init__(self, sizes: NDArray[np.float64], amounts: NDArray[np.float64]) -> None:
        self._means = sizes.mean(), amounts.mean()
        self._x, self._y = (torch.from_numpy(v - v.mean()) for v in (sizes, amounts))

    def _log_losses(self, numbers: Tensor) -> Tensor:
        """`(…, n)` from `(…, 5)`: log A and log B at the means, log E, α, β."""
        a, b, e, alpha, beta = (number[..., None] for number in numbers.unbind(-1))
        terms = [a - alpha * self._x, b - beta * self._y, e.expand(*e.shape[:-1], len(self._x))]
        return torch.logsumexp(torch.stack(terms), 0)

    def _cost(self, numbers: Tensor, losses: Tensor) -> Tensor:
        away = (self._log_losses(numbers) - losses).abs()
        return torch.where(away < HUBER, 0.5 * away**2, HUBER * (away - 0.5 * HUBER)).sum(-1)

    def starts(self, losses: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """The most promising of the grid."""
        grid = np.array(list(product(*STARTS)))
        grid[:, 0] -= grid[:, 3] * self._means[0]
        grid[:, 1] -= grid[:, 4] * self._means[1]
        costs = self._cost(torch.from_numpy(grid), torch.from_numpy(losses))
        return [grid[number] for number in costs.argsort()[:BEST_STARTS].tolist()]

    def solve(self, losses: NDArray[np.float64], start: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """The lowest cost that is reached from `start`, and where."""
        numbers, wanted = torch.tensor(start, requires_grad=True), torch.from_numpy(losses)
        optimizer = torch.optim.LBFGS(
            [numbers],
            max_iter=MAX_ITERATIONS,
            tolerance_grad=1e-10,
            tolerance_change=1e-14,
            history_size=20,
            line_search_fn="strong_wolfe",
        )

        def cost() -> Tensor:
            optimizer.zero_grad()
            value = self._cost(numbers, wanted)
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimizer.step(cost)  # type: ignore[no-untyped-call]
        found = float(self._cost(numbers.detach(), wanted))
        return (found if np.isfinite(found) else float("inf")), numbers.detach().numpy().copy()

    def fitted(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithms of the losses that the law sees."""
        fitted: NDArray[np.float64] = self._log_losses(torch.from_numpy(numbers)).numpy()
        return fitted

    def law(self, numbers: NDArray[np.float64]) -> Law:
        """The law itself."""
        a, b, e, alpha, beta = numbers.tolist()
        return Law(
            float(np.exp(e)),
            float(np.exp(a + alpha * self._means[0])),
            alpha,
            float(np.exp(b + beta * self._means[1])),
            beta,
        )

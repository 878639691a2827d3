"""What a fitted law says of sizes and amounts that nobody has trained."""

from collections.abc import Sequence
from dataclasses import dataclass

from aurl.tuning.scaling.fit import Fit, Point
from aurl.tuning.scaling.law import Law, flops_of

LARGER = (2, 4, 10)
"""Times the largest model that was trained, and the largest amount of compute."""
NAMES = ("floor", "size_factor", "size_exponent", "data_factor", "data_exponent")


@dataclass(frozen=True)
class Forecast:
    """The loss of a model that has not been trained.

    Args:
        parameters: of the model.
        tokens: that it is to learn.
        loss: that is expected.
        interval: of nine in ten.
        beyond: how many times the compute of the largest run it takes.
    """

    parameters: float
    tokens: float
    loss: float
    interval: tuple[float, float]
    beyond: float


@dataclass(frozen=True)
class Best:
    """The best use of an amount of compute.

    Args:
        flops: that training may take.
        parameters: of the best model.
        parameters_interval: of nine in ten.
        tokens: that it should learn.
        loss: that is expected then.
        interval: of nine in ten.
        beyond: how many times the compute of the largest run it is.
    """

    flops: float
    parameters: float
    parameters_interval: tuple[float, float]
    tokens: float
    loss: float
    interval: tuple[float, float]
    beyond: float


@dataclass(frozen=True)
class Scaling:
    """A scaling law and what follows from it.

    Args:
        metric: name of the loss.
        points: that it was fitted to.
        skipped: name of a run that could not be used → why.
        law: the law.
        intervals: each of its numbers → interval of nine in ten.
        spread: of measured losses about the law, as a share of the loss.
        forecasts: of larger models that learn as much as the longest run has.
        best: uses of more compute.
    """

    metric: str
    points: tuple[Point, ...]
    skipped: dict[str, str]
    law: Law
    intervals: dict[str, tuple[float, float]]
    spread: float
    forecasts: tuple[Forecast, ...]
    best: tuple[Best, ...]


def foretell(
    fit: Fit, points: Sequence[Point], metric: str, skipped: dict[str, str], budgets: Sequence[float] = ()
) -> Scaling:
    """All that is to be told.

    Args:
        fit: of the points.
        points: that were measured.
        metric: name of the loss.
        skipped: runs that could not be used.
        budgets: FLOPs to be used best; none: those of the largest run, and some times as many.
    """
    most = max(flops_of(point.parameters, point.tokens) for point in points)
    size, amount = max(point.parameters for point in points), max(point.tokens for point in points)
    flops = budgets or [most * times for times in (1, *LARGER)]
    return Scaling(
        metric,
        tuple(points),
        skipped,
        fit.law,
        {name: fit.interval(lambda law, name=name: getattr(law, name)) for name in NAMES},  # type: ignore[misc]
        fit.spread,
        tuple(_forecast(fit, size * times, amount, most) for times in LARGER),
        tuple(_best(fit, budget, most) for budget in flops),
    )


def _forecast(fit: Fit, parameters: float, tokens: float, most: float) -> Forecast:
    def loss(law: Law) -> float:
        return law.loss(parameters, tokens)

    return Forecast(parameters, tokens, loss(fit.law), fit.interval(loss), flops_of(parameters, tokens) / most)


def _best(fit: Fit, flops: float, most: float) -> Best:
    parameters, tokens = fit.law.best_for(flops)
    return Best(
        flops,
        parameters,
        fit.interval(lambda law: law.best_for(flops)[0]),
        tokens,
        fit.law.loss(parameters, tokens),
        fit.interval(lambda law: law.loss(*law.best_for(flops))),
        flops / most,
    )

"""A cost of each level of latents that its posteriors alone decide."""

from collections.abc import Callable, Collection
from typing import Literal, get_args

from torch import Tensor

from aurl.errors import UsageError
from aurl.loss.kinds.registry import LossContext
from aurl.loss.terms import Charge, Outcome
from aurl.model.latents import Posterior
from aurl.tokens.vocabulary import PAD

LevelName = Literal["global", "local", "fine"]
ALL_LEVELS: tuple[LevelName, ...] = get_args(LevelName)
Measure = Callable[[Posterior, Tensor], Charge]
"""Posterior of one level, and the number of targets of the batch as a scalar → what it costs, as a sum."""


class OfPosteriors:
    """A cost of each level, called `NAME_LEVEL`.

    Args:
        name: of the kind.
        context: of the objective.
        weight: of every level.
        levels: which count, as far as the model has them.
        measure: what a level costs.

    Raises:
        UsageError: the model has none of the levels.
    """

    def __init__(
        self, name: str, context: LossContext, *, weight: float, levels: Collection[str], measure: Measure
    ) -> None:
        self._names = {level.name: f"{name}_{level.name}" for level in context.levels if level.name in levels}
        self._measure = measure
        if not self._names:
            known = ", ".join(level.name for level in context.levels)
            raise UsageError(
                f"loss.terms.{name} is about levels that the model does not have: {', '.join(levels)}",
                hint=f"it has {known}",
            )
        self.weights = dict.fromkeys(self._names.values(), weight)

    def __call__(self, outcome: Outcome) -> dict[str, Charge]:
        """One cost for each level."""
        if outcome.latent is None:
            return {}
        targets = (outcome.targets != PAD).sum()
        posteriors = outcome.latent.posteriors
        return {name: self._measure(posteriors[level], targets) for level, name in self._names.items()}

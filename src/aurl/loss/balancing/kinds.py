"""How the costs of an objective become one number to minimise."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from aurl.loss.kl import AddUp, alone
from aurl.loss.terms import ECHO, RECONSTRUCTION, Outcome, bag_name, kl_name
from aurl.registry import Registry


class Balancer(Protocol):
    """Adds up weighted costs; what it learns on the way is a part of a run's state."""

    def total(self, costs: Mapping[str, Tensor], weights: Mapping[str, float], outcome: Outcome) -> Tensor:
        """What is minimised, a scalar on the scale of the costs.

        Args:
            costs: name → sum over the targets of a batch, with gradient.
            weights: of the profile, by the same names and of costs that this batch has not; alike in all processes.
            outcome: what the costs are of.
        """
        ...

    def begin(self) -> None:
        """An update begins, perhaps again: nothing has been added up."""
        ...

    def step(self) -> None:
        """Learn from what has been added up in this update; all processes call this."""
        ...

    @property
    def factors(self) -> dict[str, float]:
        """Name → what the weight of a cost is multiplied by, of those that do not stay as they are."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What has been learned, as JSON."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`; what a balancer of another kind has left begins as new."""
        ...


@dataclass(frozen=True, slots=True)
class BalanceContext:
    """What a balancer may have to know.

    Args:
        add_up: sums a tensor over the processes, without gradient.
        left: names of further costs whose weights are not its business: something else moves them.
    """

    add_up: AddUp = alone
    left: frozenset[str] = frozenset()

    def moved(self, names: Iterable[str], *, kl: bool) -> list[str]:
        """Those whose weights may be moved: what is neither left alone nor a part of the bound."""
        return [name for name in names if name not in self.left and not is_of_bound(name, kl=not kl)]


def is_of_bound(name: str, *, kl: bool = True) -> bool:
    """Whether a cost is what all others are measured by.

    That is the likelihood, and what latents tell by themselves, which has a course of its own. KL divergences (`kl`)
    belong to it, too, or beta would mean nothing.
    """
    return name in {RECONSTRUCTION, ECHO} or name.startswith(bag_name("")) or (kl and name.startswith(kl_name("")))


BALANCERS: Registry[Balancer] = Registry("balancing")
"""Factories are called with a `BalanceContext` and the options of the profile."""


class Fixed:
    """The weights of the profile, as they are."""

    factors: dict[str, float] = {}  # noqa: RUF012 - there are never any

    def total(self, costs: Mapping[str, Tensor], weights: Mapping[str, float], outcome: Outcome) -> Tensor:
        """The weighted sum."""
        return sum((weights[name] * cost for name, cost in costs.items()), start=outcome.logits.new_zeros(()))

    def begin(self) -> None:
        """Nothing is remembered."""

    def step(self) -> None:
        """There is nothing to learn."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing."""


@BALANCERS.register("fixed")
def fixed(context: BalanceContext) -> Fixed:
    """The weights of the profile, as they are."""
    return Fixed()

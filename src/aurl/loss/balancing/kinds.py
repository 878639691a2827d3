"""How the costs of an objective become one number to minimise."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from aurl.registry import Registry


class Balancer(Protocol):
    """Adds up weighted costs; what it learns on the way is a part of a run's state."""

    def total(self, costs: Mapping[str, Tensor], weights: Mapping[str, float], targets: Tensor) -> Tensor:
        """What is minimised, a scalar on the scale of the costs.

        Args:
            costs: name → sum over the targets of a batch, with gradient.
            weights: of the profile, by the same names.
            targets: how many there are, a scalar.
        """
        ...

    def step(self) -> None:
        """Learn from what has been added up since the last update."""
        ...

    @property
    def factors(self) -> dict[str, float]:
        """Name → what the weight of a cost is multiplied by, of those that do not stay as they are."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What has been learned, as JSON."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`."""
        ...


BALANCERS: Registry[Balancer] = Registry("balancing")


class Fixed:
    """The weights of the profile, as they are."""

    factors: dict[str, float] = {}  # noqa: RUF012 - there are never any

    def total(self, costs: Mapping[str, Tensor], weights: Mapping[str, float], targets: Tensor) -> Tensor:
        """The weighted sum."""
        return sum((weights[name] * cost for name, cost in costs.items()), start=targets.new_zeros(()))

    def step(self) -> None:
        """There is nothing to learn."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing."""


@BALANCERS.register("fixed")
def fixed() -> Fixed:
    """The weights of the profile, as they are."""
    return Fixed()

"""Terms of one cost each."""

from collections.abc import Callable

from torch import Tensor

from aurl.loss.terms import Charge, Outcome


class MusicalTerm:
    """A cost that is shown as it is minimised.

    Args:
        name: of the cost, here and in the log.
        weight: of it.
        cost: what it is, summed over the targets of a batch.
    """

    def __init__(self, name: str, weight: float, cost: Callable[[Outcome], Tensor]) -> None:
        self.weights = {name: weight}
        self._name, self._cost = name, cost

    def __call__(self, outcome: Outcome) -> dict[str, Charge]:
        """Of any outcome."""
        cost = self._cost(outcome)
        return {self._name: Charge(cost, cost.detach())}

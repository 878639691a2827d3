"""A lower learning rate where validation does not improve any more."""

from collections.abc import Mapping
from typing import Any


class Plateau:
    """Multiplies the schedule's rate by `factor` each time that enough validations in a row were no better.

    Args:
        factor: 0–1; 1 leaves the rate alone.
        patience: how many validations, at least 1.

    Attributes:
        share: of the schedule's rate that is left.
    """

    def __init__(self, *, factor: float = 1.0, patience: int = 1) -> None:
        self.share = 1.0
        self._factor, self._patience = factor, patience
        self._waited = 0

    def observe(self, *, improved: bool, counts: bool = True) -> bool:
        """Count a validation; True where the rate is lower from now on.

        Args:
            improved: whether it was the best so far.
            counts: whether it may be held against the run that it was not.
        """
        if improved:
            self._waited = 0
            return False
        self._waited += counts
        if self._factor == 1.0 or self._waited < self._patience:
            return False
        self.share *= self._factor
        self._waited = 0
        return True

    def state_dict(self) -> dict[str, Any]:
        """What is left of the rate, and validations since the last change."""
        return {"share": self.share, "waited": self._waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.share, self._waited = float(state["share"]), int(state["waited"])

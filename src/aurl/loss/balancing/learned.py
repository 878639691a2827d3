"""What a balancer learns: a number for each cost that it moves."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class Learned:
    """Logarithms of factors, on the device of the costs, so that no update waits for it.

    Args:
        limit: the largest factor; the smallest is one by it.
    """

    def __init__(self, limit: float) -> None:
        self._bound = math.log(limit)
        self._logs: dict[str, Tensor] = {}

    def logs(self, names: Sequence[str], device: torch.device) -> Tensor:
        """`(len(names),)`: 0 for those of which nothing is known."""
        zero = torch.zeros((), device=device)
        return torch.stack([self._logs.get(name, zero).to(device) for name in names])

    def put(self, names: Sequence[str], logs: Tensor, known: Tensor) -> None:
        """Take over `logs`, within the bounds, where something is `known`; both are `(len(names),)`."""
        bounded = torch.where(known, logs.clamp(-self._bound, self._bound), self.logs(names, logs.device))
        self._logs |= dict(zip(names, bounded.unbind(), strict=True))

    def factor(self, name: str) -> Tensor | float:
        """Of one cost; 1 where nothing is known of it."""
        return self._logs[name].exp() if name in self._logs else 1.0

    @property
    def factors(self) -> dict[str, float]:
        """All of them; waits for the device."""
        return {name: log.exp().item() for name, log in self._logs.items()}

    def state_dict(self) -> dict[str, Any]:
        """Logarithms by name; float32 comes back bit by bit."""
        return {name: log.item() for name, log in self._logs.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`; the device follows when they are first used."""
        self._logs = {name: torch.tensor(float(log), dtype=torch.float32) for name, log in state.items()}

"""How much each target counts in what is minimised (a registry); what is reported is the plain likelihood."""

from typing import Protocol

from torch import Tensor

from aurl.registry import Registry


class Weighting(Protocol):
    """Weights of targets."""

    def __call__(self, targets: Tensor) -> Tensor:
        """(B, T) weights of (B, T) targets, 0 where there is PAD."""
        ...


WEIGHTINGS: Registry[Weighting | None] = Registry("reconstruction")


@WEIGHTINGS.register("plain")
def plain() -> None:
    """Every target alike: the likelihood itself."""
    return

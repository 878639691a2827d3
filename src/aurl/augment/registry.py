"""The registry of augmentation kinds, what one of them is, and when it is applied."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from aurl.augment.draft import Draft
from aurl.errors import UsageError
from aurl.registry import Registry
from aurl.tokens.vocabulary import TIME_BASES, TimeBase

Probability = Annotated[float, Ge(0), Le(1)]
FromEpoch = Annotated[int, Ge(0)]
RampEpochs = Annotated[int, Ge(1)]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How likely a passage is changed, epoch by epoch.

    Args:
        probability: in the end.
        from_epoch: first epoch (from 0) in which it happens at all.
        ramp_epochs: epochs over which it rises to `probability`, in equal steps; 1: at once.
    """

    probability: float
    from_epoch: int
    ramp_epochs: int

    def at(self, epoch: int) -> float:
        """Probability in an epoch."""
        risen = (epoch - self.from_epoch + 1) / self.ramp_epochs
        return self.probability * min(max(risen, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """One configured kind.

    Args:
        change: changes the draft of a passage, drawing as few random numbers as it can.
        schedule: how likely.
        time_bases: in which it has a meaning.
    """

    change: Callable[[Draft, np.random.Generator], None]
    schedule: Schedule
    time_bases: tuple[TimeBase, ...] = TIME_BASES


AUGMENT: Registry[Augmentation] = Registry("augment")
"""Kind → factory."""


def interval(option: str, bounds: Sequence[float]) -> tuple[float, float]:
    """The lowest and highest value that an option gives.

    Raises:
        UsageError: they are in the wrong order.
    """
    low, high = bounds
    if low > high:
        raise UsageError(f"{option} = [{low}, {high}] goes down", hint=f"write [{high}, {low}]")
    return low, high


def drawn(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """A number between the bounds, uniformly."""
    low, high = bounds
    return low + (high - low) * rng.random()

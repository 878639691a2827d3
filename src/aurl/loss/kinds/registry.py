"""The registry of loss terms that a profile may add, and what their factories are told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from aurl.loss.kl import AddUp, alone
from aurl.loss.terms import Term
from aurl.model.latents import Level
from aurl.registry import Registry
from aurl.tokens.vocabulary import TimeBase

Weight = Annotated[float, Ge(0)]


@dataclass(frozen=True, slots=True)
class LossContext:
    """What a term may have to know.

    Args:
        mode: of the model.
        levels: of its latents, coarse to fine; none in mode `transformer`.
        add_up: sums a tensor over the processes, without gradient.
        time_base: of the ids.
    """

    mode: str
    levels: Sequence[Level] = ()
    add_up: AddUp = alone
    time_base: TimeBase = "beats"


LOSSES: Registry[Term] = Registry("loss")
"""Factories are called with a `LossContext` and the options of the profile, of which one is `weight`."""

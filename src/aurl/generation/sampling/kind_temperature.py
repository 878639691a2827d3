"""A temperature for each kind of id."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from aurl.generation.sampling.groups import SLICES, IdKind
from aurl.generation.sampling.kinds import FILTERS
from aurl.generation.sampling.sampler import LEAST_TEMPERATURE

Heat = Annotated[float, Ge(0)]


class KindTemperature:
    """Tempers the choice within a kind, and leaves alone which kind comes next.

    p(id) = p(kind) · p(id | kind), and only the second factor is raised to 1 / temperature. Logits have no zero of
    their own: dividing those of some ids alone would make their kind likelier or not by chance.

    Args:
        temperatures: of the kinds; those left out keep theirs.
    """

    def __init__(self, temperatures: Mapping[IdKind, float]) -> None:
        self._temperatures = [(SLICES[kind], max(heat, LEAST_TEMPERATURE)) for kind, heat in temperatures.items()]

    def __call__(self, scores: Tensor, histories: Sequence[Sequence[int]]) -> Tensor:
        """New scores."""
        changed = scores.clone()
        for ids, temperature in self._temperatures:
            part = scores[:, ids]
            tempered = (part / temperature).log_softmax(-1) + part.logsumexp(-1, keepdim=True)
            # A kind of which nothing is allowed has no distribution.
            changed[:, ids] = torch.where(part.isneginf(), part, tempered)
        return changed


@FILTERS.register("kind_temperature")
def kind_temperature(
    *,
    note_on: Heat = 1.0,
    note_off: Heat = 1.0,
    time_shift: Heat = 1.0,
    velocity: Heat = 1.0,
    control: Heat = 1.0,
) -> KindTemperature:
    """A temperature for each kind of id, beside that for all; how often a kind comes stays as it is.

    Args:
        note_on: which pitch begins; 0 always takes the likeliest, as in the others.
        note_off: which pitch ends.
        time_shift: how long one waits.
        velocity: which level of loudness.
        control: everything else: what the header says, which part goes on.
    """
    asked: dict[IdKind, float] = {
        "note_on": note_on,
        "note_off": note_off,
        "time_shift": time_shift,
        "velocity": velocity,
        "control": control,
    }
    return KindTemperature({kind: heat for kind, heat in asked.items() if heat != 1})

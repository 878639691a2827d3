"""Ids above a floor that is lower where more is possible."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Gt, Lt
from torch import Tensor

from aurl.generation.sampling.kinds import FILTERS


class Eta:
    """Drops ids less likely than min(ε, √ε · exp(−entropy)), but for the likeliest.

    Args:
        epsilon: ε, in (0, 1).
    """

    def __init__(self, epsilon: float) -> None:
        self._epsilon = epsilon

    def __call__(self, scores: Tensor, histories: Sequence[Sequence[int]]) -> Tensor:
        """New scores."""
        probabilities = scores.softmax(-1)
        entropy = torch.special.entr(probabilities).sum(-1, keepdim=True)
        floor = (self._epsilon**0.5 * (-entropy).exp()).clamp(max=self._epsilon)
        likeliest = probabilities.amax(-1, keepdim=True)
        return scores.masked_fill(probabilities < torch.minimum(floor, likeliest), -torch.inf)


@FILTERS.register("eta")
def eta(*, epsilon: Annotated[float, Gt(0), Lt(1)] = 0.01) -> Eta:
    """Ids above a floor of probability that sinks where many are possible (Hewitt et al., Findings of EMNLP 2022).

    Args:
        epsilon: the floor where little is possible.
    """
    return Eta(epsilon)

"""Ids whose probability is what the moment lets expect."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Gt, Lt
from torch import Tensor

from aurl.generation.sampling.kinds import FILTERS
from aurl.generation.sampling.sampler import HEAD


class Typical:
    """Keeps the fewest ids, nearest first, that are about as surprising as the next id is on average.

    Args:
        mass: probability that they reach together, in (0, 1).
    """

    def __init__(self, mass: float) -> None:
        self._mass = mass

    def __call__(self, scores: Tensor, histories: Sequence[Sequence[int]]) -> Tensor:
        """New scores."""
        likelihoods = scores.log_softmax(-1)
        probabilities = likelihoods.exp()
        entropy = torch.special.entr(probabilities).sum(-1, keepdim=True)
        distance = (likelihoods + entropy).abs()  # (B, V), inf where an id is not allowed
        farthest, reached = self._farthest(distance, probabilities, min(HEAD, scores.shape[-1]))
        if not all(reached.tolist()):
            short = (~reached).nonzero()[:, 0]
            farthest[short] = self._farthest(distance[short], probabilities[short], scores.shape[-1])[0]
        return scores.masked_fill(distance > farthest, -torch.inf)

    def _farthest(self, distance: Tensor, probabilities: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """`(B, 1)` the largest distance that is kept, and `(B,)` whether the `count` nearest reach the mass."""
        nearest, order = distance.topk(count, largest=False)
        needed = (probabilities.gather(1, order).cumsum(-1) < self._mass).sum(-1, keepdim=True)
        return nearest.gather(1, needed.clamp(max=count - 1)), needed[:, 0] < count


@FILTERS.register("typical")
def typical(*, mass: Annotated[float, Gt(0), Lt(1)] = 0.95) -> Typical:
    """Ids as surprising as the next one is on average (Meister et al., TACL 2023); the likeliest may be too plain.

    Args:
        mass: probability that the kept ids have together.
    """
    return Typical(mass)

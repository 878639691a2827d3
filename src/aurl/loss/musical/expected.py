"""Sums over what a model expects."""

from torch import Tensor
from torch.nn.functional import relu

from aurl.model.discriminator.bounded import grouped


def beyond(costs: Tensor, real: Tensor, *, excess: bool) -> Tensor:
    """`(B, T, K)` costs of K answers, as far as they exceed that of the real one `(B, T, 1)`, or as they are."""
    return relu(costs - costs.gather(2, real)) if excess else costs


def expectation(likely: Tensor, costs: Tensor, counted: Tensor) -> Tensor:
    """Sum of expected costs.

    Args:
        likely: (B, T, K) probability of each answer.
        costs: (B, T, K) what it costs.
        counted: (B, T) bool, which targets count.
    """
    return (likely * (costs * counted[..., None])).sum()


def squared_counts(surprise: Tensor, segment: int) -> Tensor:
    """Squared differences of expected and real counts in each segment, summed over segments and what is counted.

    A count is linear in the probabilities. So the expected square is least where they are right, as that of the
    likelihood is: the square of a sum of surprises is on average the sum of their squares (Brier, 1950), for what one
    target brings is no surprise to those after it.

    Args:
        surprise: (B, T, F) expected less real, 0 at what is not counted.
        segment: targets whose counts are compared.
    """
    return grouped(surprise, segment).sum(2).square().sum()

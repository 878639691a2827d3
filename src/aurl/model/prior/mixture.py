"""Several normal distributions, each for another sort of music."""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from aurl.model.prior.kinds import PRIORS, Prior
from aurl.model.prior.normal import LOG_VARIANCE_LIMIT, FromContext, bounded, log_density

MEAN_NORM = 2.0
"""Length of the means at the start. Far ones cost as much as half its square in nats, and near the origin whichever is
nearest would take all latents for good; close ones are never told apart."""


class Mixture(Prior):
    """Mixture of diagonal normals; weights, means and log-variances are learned, and linear in the context.

    Means begin at right angles to each other (as far as there are dimensions) and at the same distance from the origin,
    so that no component is nearer to all latents than the others: such a one would be the only one in the end.

    Args:
        size: dimensions of a latent.
        context_size: dimensions of the context, 0 for none.
        components: number of normals.
    """

    def __init__(self, size: int, context_size: int, *, components: int) -> None:
        super().__init__(size, context_size)
        means = nn.init.orthogonal_(torch.empty(components, size)) * MEAN_NORM * max(1.0, components / size) ** 0.5
        begin = torch.cat([means, torch.zeros(components, size), torch.zeros(components, 1)], 1)
        self.parameters_of = FromContext(context_size, begin.flatten())
        self.components = components

    def _parts(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Means and log-variances (…, K, size), log-weights (…, K)."""
        numbers = self.parameters_of(context).unflatten(-1, (self.components, -1))
        mean, log_variance, logits = numbers.split([self.size, self.size, 1], -1)
        return mean, bounded(log_variance, LOG_VARIANCE_LIMIT), logits[..., 0].log_softmax(-1)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Log density."""
        mean, log_variance, log_weights = self._parts(context)
        return torch.logsumexp(log_weights + log_density(z[..., None, :], mean, log_variance), -1)

    def sample(self, noise: Tensor, choice: Tensor, context: Tensor | None = None) -> Tensor:
        """`choice` picks a component, whose mean and deviation are applied to the noise."""
        mean, log_variance, log_weights = self._parts(context)
        ends = log_weights.exp().cumsum(-1)[..., :-1]  # the last one ends at 1, whatever rounding says
        picked = (choice[..., None] >= ends).sum(-1, keepdim=True)[..., None].expand(*choice.shape, 1, self.size)
        mean, log_variance = (
            part.expand(*choice.shape, -1, -1).gather(-2, picked)[..., 0, :] for part in (mean, log_variance)
        )
        return mean + torch.exp(0.5 * log_variance) * noise


@PRIORS.register("mixture")
def mixture(size: int, context_size: int, *, components: Annotated[int, Ge(8)] = 8) -> Mixture:
    """Several normal distributions, learned.

    Args:
        size: dimensions of a latent.
        context_size: dimensions of the context, 0 for none.
        components: how many.
    """
    return Mixture(size, context_size, components=components)

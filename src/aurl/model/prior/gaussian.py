"""A normal distribution; the standard one where nothing is known."""

import torch
from torch import Tensor

from aurl.model.latents.posterior import Posterior
from aurl.model.prior.kinds import PRIORS, Prior
from aurl.model.prior.normal import LOG_VARIANCE_LIMIT, FromContext, bounded, log_density


class Gaussian(Prior):
    """Diagonal normal, whose means and log-variances are linear in the context; without one N(0, 1).

    Args:
        size: dimensions of a latent.
        context_size: dimensions of the context, 0 for none.
    """

    def __init__(self, size: int, context_size: int) -> None:
        super().__init__(size, context_size)
        # Without context the encoder can scale its latents as it likes; a learned scale would only repeat that.
        self.parameters_of = FromContext(context_size, torch.zeros(2 * size)) if context_size else None

    def moments(self, like: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Means and log-variances."""
        if self.parameters_of is None:
            return torch.zeros_like(like), torch.zeros_like(like)
        mean, log_variance = self.parameters_of(context).chunk(2, -1)
        return mean, bounded(log_variance, LOG_VARIANCE_LIMIT)

    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Log density."""
        return log_density(z, *self.moments(z, context))

    def sample(self, noise: Tensor, choice: Tensor, context: Tensor | None = None) -> Tensor:
        """Mean and deviation applied to the noise."""
        mean, log_variance = self.moments(noise, context)
        return mean + torch.exp(0.5 * log_variance) * noise

    def kl(self, posterior: Posterior, context: Tensor | None = None) -> Tensor:
        """Exact (Kingma & Welling, 2014, appendix B)."""
        mean, log_variance = self.moments(posterior.mean, context)
        ratio = posterior.log_variance - log_variance
        distance = (posterior.mean - mean).square() * torch.exp(-log_variance)
        return 0.5 * (torch.exp(ratio) + distance - 1 - ratio).sum(-1)


@PRIORS.register("gaussian")
def gaussian(size: int, context_size: int) -> Gaussian:
    """A normal distribution."""
    return Gaussian(size, context_size)

"""What a prior is: a distribution of latents that can be evaluated and drawn from, given a context or nothing."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from aurl.model.latents.posterior import Posterior
from aurl.registry import Registry


class Prior(nn.Module, ABC):
    """A distribution over vectors of `size`, whose parameters may depend on a context vector.

    Args:
        size: dimensions of a latent.
        context_size: dimensions of what it is conditioned on, 0 for nothing.
    """

    def __init__(self, size: int, context_size: int) -> None:
        super().__init__()
        self.size = size
        self.context_size = context_size

    @abstractmethod
    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Log density in nats, `(…)`, of `z` `(…, size)` given `context` `(…, context_size)`."""

    @abstractmethod
    def sample(self, noise: Tensor, choice: Tensor, context: Tensor | None = None) -> Tensor:
        """Latents `(…, size)` made from standard normal `noise` `(…, size)` and uniform `choice` `(…)` in [0, 1).

        The same numbers give the same latents, in any batch.
        """

    def kl(self, posterior: Posterior, context: Tensor | None = None) -> Tensor:
        """KL divergence of each posterior from this prior in nats, `(B, n)`.

        By one draw, log q(z) − log p(z), where a kind has no closed form; such an estimate may be negative.
        """
        return posterior.log_prob() - self.log_prob(posterior.z, context)

    def moments(self, like: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor] | None:
        """Means and log-variances, each as `like` `(…, size)`, of kinds that are nothing but them; None of others."""
        return None


PRIORS: Registry[Prior] = Registry("prior")
"""Factories are called with (size, context_size) and the options of the profile."""

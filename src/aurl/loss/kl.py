"""KL divergence of posteriors from the prior, of which the first nats of every level may be free.

On the scale of the summed ELBO: nats are summed over latents as the likelihood is over targets, so that a weight of 1
is the bound itself, at every length of window and for any number of latents.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

AddUp = Callable[[Tensor], Tensor]
"""Sum of a tensor over all processes that learn at once, without gradient."""


def alone(own: Tensor) -> Tensor:
    """The sum over the processes where there is one."""
    return own


def with_free_bits(
    kl: Mapping[str, Tensor], real: Mapping[str, Tensor], free_nats: Mapping[str, float], add_up: AddUp = alone
) -> dict[str, Tensor]:
    """Level → max(mean KL of a latent, free nats) × number of latents, summed over this process's batch.

    The maximum is taken after the mean over the batch (Kingma et al., NIPS 2016): latents of rich windows may cost much
    as long as those of poor ones cost little. Below it the level has no gradient.

    Args:
        kl: level → (B, n) nats, 0 where not real.
        real: level → (B, n) bool.
        free_nats: level → nats that a latent may cost in the mean.
        add_up: the mean is that of all processes' batches, so that it does not matter how windows are divided.
    """
    sums = {level: nats.sum() for level, nats in kl.items()}
    counts = {level: real[level].sum() for level in sums}
    own = torch.stack([*sums.values(), *counts.values()]).detach()
    nats, latents = add_up(own).chunk(2)
    means = dict(zip(sums, nats / latents.clamp(min=1), strict=True))
    return {
        level: torch.where(means[level] > free_nats[level], total, free_nats[level] * counts[level])
        for level, total in sums.items()
    }

"""Dimensions of latents that say different things."""

import torch
from torch import Tensor

from aurl.loss.kinds.registry import LOSSES, LossContext, Weight
from aurl.loss.latent.term import ALL_LEVELS, LevelName, OfPosteriors
from aurl.loss.terms import Charge, Term
from aurl.model.latents import Posterior
from aurl.model.latents.usage import ACTIVE_VARIANCE


def redundancy(means: Tensor, real: Tensor) -> Tensor:
    """Mean square of the correlation of two dimensions over all latents of a batch, 0–1; 0 for a single latent.

    Dimensions that hardly vary count as if they had the variance of one that is active: of noise there is nothing to
    be learned. With M latents, independent dimensions have 1 / (M - 1) in the mean, so a few windows tell little.

    Args:
        means: (B, n, size) posterior means.
        real: (B, n) bool; others are left out.
    """
    there = real.flatten()[:, None].float()  # (B × n, 1)
    flat = means.float().flatten(0, 1)
    latents = there.sum().clamp(min=1)
    centred = (flat - (flat * there).sum(0) / latents) * there
    covariance = centred.T @ centred / latents  # (size, size)
    spread = covariance.diagonal().clamp(min=ACTIVE_VARIANCE).sqrt()
    correlation = covariance / (spread[:, None] * spread)
    size = len(spread)
    apart = ~torch.eye(size, dtype=torch.bool, device=means.device)
    return correlation.square().masked_fill(~apart, 0.0).sum() / (size * (size - 1))


def _charge(posterior: Posterior, targets: Tensor) -> Charge:
    """A batch counts by its targets: divided by all targets it is a mean over batches and processes."""
    cost = redundancy(posterior.mean, posterior.real) * targets
    return Charge(cost, cost.detach())


@LOSSES.register("orthogonality", mode="vae")
def orthogonality(context: LossContext, *, weight: Weight = 0.1, levels: tuple[LevelName, ...] = ALL_LEVELS) -> Term:
    """No two dimensions of a latent say the same (DIP-VAE, Kumar et al., ICLR 2018, with correlations).

    Of the batch of each process by itself.

    Args:
        context: of the objective.
        weight: of each level.
        levels: that count.
    """
    return OfPosteriors("orthogonality", context, weight=weight, levels=levels, measure=_charge)

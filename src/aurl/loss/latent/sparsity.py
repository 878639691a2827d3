"""Latents that say much in a few dimensions and nothing in the others."""

import torch
from torch import Tensor

from aurl.loss.kinds.registry import LOSSES, LossContext, Weight
from aurl.loss.latent.term import ALL_LEVELS, LevelName, OfPosteriors
from aurl.loss.terms import Charge, Term
from aurl.model.latents import Posterior


def loudness(posterior: Posterior) -> Tensor:
    """`(B, n)`: what posterior means can tell above their noise, in nats; 0 where a latent is not real.

    The sum over dimensions of log(1 + (mean / standard deviation)²) / 2, the capacity of a Gaussian channel with that
    ratio of signal to noise. Like a norm it pulls at every dimension, but more at a faint one (the log-sum penalty of
    Candès, Wakin & Boyd, 2008), and it does not matter in which unit a dimension is.
    """
    mean, log_variance = posterior.mean.float(), posterior.log_variance.float()
    ratio = mean.square() * torch.exp(-log_variance)
    return (0.5 * torch.log1p(ratio).sum(-1)).masked_fill(~posterior.real, 0.0)


def _charge(posterior: Posterior, targets: Tensor) -> Charge:
    cost = loudness(posterior).sum()
    return Charge(cost, cost.detach())


@LOSSES.register("sparsity", mode="vae")
def sparsity(context: LossContext, *, weight: Weight = 0.01, levels: tuple[LevelName, ...] = ALL_LEVELS) -> Term:
    """Each latent speaks through few of its dimensions (log-sum penalty; Candès et al. 2008).

    Args:
        context: of the objective.
        weight: of each level.
        levels: that count.
    """
    return OfPosteriors("sparsity", context, weight=weight, levels=levels, measure=_charge)

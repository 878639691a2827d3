"""How much latents tell about which music they are of."""

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from aurl.loss.kinds.registry import LOSSES, LossContext, Weight
from aurl.loss.latent.term import ALL_LEVELS, LevelName, OfPosteriors
from aurl.loss.terms import Charge, Term
from aurl.model.latents import Posterior

GROUP = 128
"""So many latents are told from each other at once: the bound ends at log 128 = 4.9 nats, and memory grows linearly."""


def confusion(posterior: Posterior) -> tuple[Tensor, Tensor]:
    """How hard it is to tell of which music a draw is.

    For a draw z of latent i among the M real ones of its group, -log(q(z|x_i) / sum_j q(z|x_j)), in nats; 0 where it is
    certain, log M where all posteriors are alike. log M minus its mean is a lower bound of the mutual information of
    music and latents (InfoNCE with the known conditional; Poole et al., ICML 2019, section 2.3), which cannot exceed
    log M. Groups are of consecutive latents of this process's batch; one that is alone tells nothing.

    Returns:
        The confusion, with gradient, and log M: both (B, n), 0 where a latent is not real.
    """
    shape, size = posterior.mean.shape[:2], posterior.mean.shape[-1]
    parts = [torch.split(tensor.float().reshape(-1, size), GROUP) for tensor in posterior[:3]]
    groups = zip(*parts, torch.split(posterior.real.flatten(), GROUP), strict=True)
    confused, most = zip(*(_confusion(*group) for group in groups), strict=True)
    return torch.cat(confused).view(shape), torch.cat(most).view(shape)


def _confusion(mean: Tensor, log_variance: Tensor, z: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Of one group: `(M, size)` three times, `(M,)`."""
    differences = z[:, None] - mean  # (M, M, size): each draw beside each posterior
    log_density = -0.5 * (differences.square() * torch.exp(-log_variance) + log_variance).sum(-1)
    myself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    asked = log_density.masked_fill(~(real | myself), -torch.inf)
    confused = -log_softmax(asked, -1).diagonal()
    most = real.sum().clamp(min=1).log().expand(len(z))
    return confused.masked_fill(~real, 0.0), most.masked_fill(~real, 0.0)


def _charge(posterior: Posterior, targets: Tensor) -> Charge:
    """The confusion; what is shown is the information, both summed over latents."""
    confused, most = confusion(posterior)
    return Charge(confused.sum(), (most - confused).detach().sum())


@LOSSES.register("mutual_information", mode="vae")
def mutual_information(
    context: LossContext, *, weight: Weight = 0.1, levels: tuple[LevelName, ...] = ALL_LEVELS
) -> Term:
    """Latents tell their music from the other music of the batch (InfoVAE, Zhao et al. 2019; Poole et al. 2019).

    What the KL divergence costs is this information and the distance of all latents together from the prior: a weight
    of beta makes the former free, as far as the batch can tell it. The log shows the information itself.

    Args:
        context: of the objective.
        weight: of each level.
        levels: that count.
    """
    return OfPosteriors("mutual_information", context, weight=weight, levels=levels, measure=_charge)

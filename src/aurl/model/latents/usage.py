"""Whether latents are used: how many of their dimensions say anything, and what is left once they are mixed up."""

from collections.abc import Collection

import torch
from torch import Tensor

from aurl.model.latents.levels import Latents
from aurl.model.latents.posterior import Posterior

ACTIVE_VARIANCE = 0.01
"""A dimension is active where the variance of its posterior mean over the data is larger (Burda et al., ICLR 2016)."""


class ActiveUnits:
    """Variance of the posterior means of one level, dimension by dimension, over any number of batches.

    Args:
        size: dimensions of a latent.
    """

    def __init__(self, size: int) -> None:
        self.sums = torch.zeros(1 + 2 * size, dtype=torch.float64)
        """Latents seen, sum of each dimension, sum of its squares; those of several processes add up."""

    def add(self, posterior: Posterior) -> None:
        """Take the latents of one batch that stand for music."""
        means = posterior.mean.detach()[posterior.real].double().cpu()
        self.sums += torch.cat([torch.tensor([float(len(means))]), means.sum(0), means.square().sum(0)])

    @property
    def variance(self) -> Tensor:
        """`(size,)`: of each dimension; NaN before anything is seen."""
        mean, square = (self.sums[1:] / self.sums[0]).chunk(2)
        return (square - mean.square()).clamp(min=0)

    @property
    def share(self) -> float:
        """Active dimensions as a share of all, 0–1; NaN before anything is seen."""
        return float((self.variance > ACTIVE_VARIANCE).double().mean()) if self.sums[0] else float("nan")


def rolled(latents: Latents, names: Collection[str] | None = None) -> dict[str, Tensor]:
    """Latents in which every row has those of the row before it, the first those of the last.

    Args:
        latents: of a batch of at least two rows, or nothing changes.
        names: levels that are moved; None for all.
    """
    return {name: z.roll(1, 0) if names is None or name in names else z for name, z in latents.items()}

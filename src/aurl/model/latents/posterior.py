"""What an encoder says about the latents of one level."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

LOG_VARIANCES = (-12.0, 4.0)
"""Bounds: beyond them a draw is the mean, or noise, and the exponential is of no more use."""


class Posterior(NamedTuple):
    """Diagonal normal distributions over the latents of one level, and a draw from each.

    Args:
        mean: (B, n, size).
        log_variance: (B, n, size).
        z: (B, n, size), drawn with gradient (Kingma & Welling, 2014), or the mean itself.
        real: (B, n) bool, False where a segment holds nothing but padding.
    """

    mean: Tensor
    log_variance: Tensor
    z: Tensor
    real: Tensor

    def log_prob(self) -> Tensor:
        """`(B, n)`: log density of `z` in nats."""
        squares = (self.z - self.mean).square() * torch.exp(-self.log_variance)
        return -0.5 * (squares + self.log_variance + math.log(2 * math.pi)).sum(-1)


class PosteriorHead(nn.Module):
    """Features → a posterior, drawn from.

    Means begin as large as draws of the standard normal and are told apart at once; log-variances begin alike.

    Args:
        d_model: dimensions of the features.
        size: of a latent.
        batch_norm: normalise means over the batch (Zhu et al., ACL 2020): a posterior cannot collapse to the prior.
        initial_log_variance: at the start.
    """

    def __init__(self, d_model: int, size: int, *, batch_norm: bool, initial_log_variance: float) -> None:
        super().__init__()
        self.mean = nn.Linear(d_model, size)
        self.log_variance = nn.Linear(d_model, size)
        self.norm = nn.BatchNorm1d(size, affine=False) if batch_norm else None
        nn.init.normal_(self.mean.weight, std=d_model**-0.5)
        nn.init.zeros_(self.mean.bias)
        nn.init.zeros_(self.log_variance.weight)
        nn.init.constant_(self.log_variance.bias, initial_log_variance)

    def forward(self, x: Tensor, real: Tensor) -> Posterior:
        """`(B, n, d_model)` and which are real `(B, n)` → posteriors, in fp32."""
        with torch.autocast(x.device.type, enabled=False):
            mean, log_variance = self.mean(x.float()), self.log_variance(x.float())
            log_variance = log_variance.clamp(*LOG_VARIANCES)
            if self.norm is not None:
                mean = mean.masked_scatter(real[..., None], self._normalised(mean[real], self.norm))
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return Posterior(mean, log_variance, z, real)

    def _normalised(self, means: Tensor, norm: nn.BatchNorm1d) -> Tensor:
        """`(N, size)`, by their own moments; a single one has none, and is measured by those of earlier batches."""
        by_batch = self.training and len(means) > 1
        return batch_norm(means, norm.running_mean, norm.running_var, training=by_batch, eps=norm.eps)

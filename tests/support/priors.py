"""Priors of every kind and option, away from where they begin, and integrals over them."""

from itertools import product
from typing import Literal, get_args, get_origin

import torch
from torch import Tensor, nn

from aurl.model.latents import Posterior
from aurl.model.prior import PRIORS, Prior

CONTEXT = 3
REACH = 16.0
"""Integrals go this far to both sides."""


def _variants():
    """Every kind, with each of the words that its options may be."""
    for kind in PRIORS.kinds():
        words = {o.name: get_args(o.annotation) for o in PRIORS.options(kind) if get_origin(o.annotation) is Literal}
        yield from ({"kind": kind} | dict(zip(words, chosen, strict=True)) for chosen in product(*words.values()))


VARIANTS = list(_variants())


def perturb(module: nn.Module, *, std: float = 0.4, seed: int = 0) -> None:
    """Noise on all parameters, so that nothing is at its initial value; less of it where more is summed up."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(std * noise.to(parameter) / (parameter.shape[-1] ** 0.5 if parameter.ndim > 1 else 1))


def perturbed(variant: dict[str, str], size: int, context_size: int, *, seed: int = 0) -> Prior:
    """In double precision."""
    torch.manual_seed(seed)
    prior = PRIORS.from_component(variant, size, context_size).double()
    perturb(prior, seed=seed)
    return prior


def one_context(context_size: int) -> Tensor | None:
    """`(1, context_size)`, or None for 0."""
    torch.manual_seed(7)
    return torch.randn(1, context_size, dtype=torch.float64) if context_size else None


def grid(size: int, points: int) -> tuple[Tensor, float]:
    """Points `(points^size, size)` in the middle of cells, and the volume of a cell."""
    cell = 2 * REACH / points
    axis = torch.arange(points, dtype=torch.float64) * cell - REACH + cell / 2
    return torch.cartesian_prod(*[axis] * size).reshape(-1, size), cell**size


def uniform_numbers(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise `shape`, and choices `shape` without its last dimension."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    return noise, torch.rand(shape[:-1], generator=generator, dtype=torch.float64)


def posterior(mean: Tensor, log_variance: Tensor, *, seed: int = 0, real: Tensor | None = None) -> Posterior:
    """With a draw."""
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(seed), dtype=mean.dtype)
    z = mean + torch.exp(0.5 * log_variance) * noise
    return Posterior(mean, log_variance, z, torch.ones(mean.shape[:-1], dtype=torch.bool) if real is None else real)

"""One pass of a model over windows: what its posteriors and its prior say, dimension by dimension."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aurl.data.dataset import Rows
from aurl.loss.reconstruction import nats, targets_of
from aurl.model.latents import Posterior
from aurl.model.prior import LatentPrior
from aurl.model.prior.conditions import conditions_of
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.progress import Progress, Report, silent

Floats = NDArray[np.float64]


@dataclass
class LevelPass:
    """What was found at one level, in parts, one for each batch.

    Args:
        mean: (N, size) of the posteriors.
        drawn: (N, size) a draw from each.
        made: (N, size) the prior's own, from the global latent down.
        whitened: (N, size) draws as the prior sees them, 0 and 1 being the mean and the deviation that it expects.
        kl: (N, size) nats from the prior.
        window: (N,)
    """

    mean: list[Floats] = field(default_factory=list)
    drawn: list[Floats] = field(default_factory=list)
    made: list[Floats] = field(default_factory=list)
    whitened: list[Floats] = field(default_factory=list)
    kl: list[Floats] = field(default_factory=list)
    window: list[NDArray[np.int64]] = field(default_factory=list)


@dataclass
class Pass:
    """Of all levels.

    Args:
        levels: level → what was found.
        prior_nats: negative log-likelihood of all targets, given latents that the prior made up.
    """

    levels: dict[str, LevelPass]
    prior_nats: float = 0.0


@torch.inference_mode()
def look_at(
    model: MusicTransformerVAEGAN, batches: Iterable[Rows], *, seed: int, total: int, report: Report = silent
) -> Pass:
    """Look at windows.

    Args:
        model: with latents, in evaluation mode.
        batches: of windows.
        seed: of all draws.
        total: batches.
        report: told after each of them.
    """
    found = Pass({level.name: LevelPass() for level in model.levels})
    prior = model.prior
    if prior is None:
        return found
    generator = torch.Generator().manual_seed(seed)
    windows = 0
    for number, rows in enumerate(batches):
        _look_at(model, prior, rows, windows, found, generator)
        windows += len(rows.ids)
        report(Progress("prior", number + 1, total, "batches"))
    return found


def _look_at(
    model: MusicTransformerVAEGAN, prior: LatentPrior, rows: Rows, first: int, found: Pass, generator: torch.Generator
) -> None:
    device = next(model.parameters()).device
    ids, start_steps, context = (torch.from_numpy(part).to(device) for part in rows[:3])
    inputs = ids[:, :-1]
    style = None if rows.style is None else torch.from_numpy(rows.style).to(device)
    conditions = conditions_of(inputs, model.conditions, style) if model.conditions else None
    posteriors = model.encode(ids[:, 1:], start_steps)
    drawn = {name: _drawn(posterior, generator) for name, posterior in posteriors.items()}
    made = _made(prior, posteriors, conditions, generator)
    stream = model.stream(made, torch.arange(inputs.shape[1], device=device))
    logits: Tensor = model(inputs, start_steps=start_steps, stream=stream)
    found.prior_nats += float(nats(logits, targets_of(ids, context)))
    moments = prior.moments(drawn, conditions)
    for name, posterior in posteriors.items():
        level, real = found.levels[name], posterior.real
        level.mean.append(_numbers(posterior.mean[real]))
        level.drawn.append(_numbers(drawn[name][real]))
        level.made.append(_numbers(made[name][real]))
        level.window.append(first + real.nonzero()[:, 0].cpu().numpy())
        expected = moments[name]
        if expected is not None:
            kl, whitened = _against(posterior, drawn[name], *expected)
            level.kl.append(_numbers(kl[real]))
            level.whitened.append(_numbers(whitened[real]))


def _drawn(posterior: Posterior, generator: torch.Generator) -> Tensor:
    """From the same numbers on every device."""
    noise = torch.randn(posterior.mean.shape, generator=generator).to(posterior.mean)
    return posterior.mean + torch.exp(0.5 * posterior.log_variance) * noise


def _made(
    prior: LatentPrior, posteriors: Mapping[str, Posterior], conditions: Tensor | None, generator: torch.Generator
) -> dict[str, Tensor]:
    """As many latents as there are posteriors."""
    noise, choice = {}, {}
    for name, posterior in posteriors.items():
        noise[name] = torch.randn(posterior.mean.shape, generator=generator).to(posterior.mean)
        choice[name] = torch.rand(posterior.mean.shape[:-1], generator=generator).to(posterior.mean)
    return prior.sample(noise, choice, conditions=conditions)


def _against(posterior: Posterior, z: Tensor, mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
    """Divergence of each dimension from a normal prior (Kingma & Welling, 2014, appendix B), and whitened draws."""
    ratio = posterior.log_variance - log_variance
    distance = (posterior.mean - mean).square() * torch.exp(-log_variance)
    return 0.5 * (torch.exp(ratio) + distance - 1 - ratio), (z - mean) * torch.exp(-0.5 * log_variance)


def _numbers(x: Tensor) -> Floats:
    return x.double().cpu().numpy()

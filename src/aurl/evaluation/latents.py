"""What latents are good for on held-out music: how well it comes back through them, and what is lost without them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from aurl.data.dataset import Rows
from aurl.loss.reconstruction import Counts, nats, targets_of
from aurl.model.latents.levels import Latents
from aurl.model.latents.posterior import Posterior
from aurl.model.latents.usage import ActiveUnits, rolled
from aurl.model.prior.conditions import conditions_of
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.tokens.vocabulary import PAD

ALL = "all"
"""In `LatentUse.lost`: every level at once."""


@dataclass
class LatentUse:
    """What was measured; sums over all targets, so that more windows only sharpen it. Nats throughout.

    Args:
        tokens: targets.
        notes: of which so many begin a note.
        nats: negative log-likelihood, given latents drawn from their posteriors.
        mean_nats: the same, given the posteriors' means.
        correct: targets that are the likeliest id, given the posteriors' means.
        kl: level → divergence from the prior.
        active_units: level → share of its dimensions that are active, 0–1.
        lost: level (or `ALL`) → what the likelihood loses when each window is given the latents of another.
    """

    tokens: int = 0
    notes: int = 0
    nats: float = 0.0
    mean_nats: float = 0.0
    correct: int = 0
    kl: dict[str, float] = field(default_factory=dict)
    active_units: dict[str, float] = field(default_factory=dict)
    lost: dict[str, float] = field(default_factory=dict)

    @property
    def bound(self) -> float:
        """Negative ELBO; the negative log-likelihood itself where there are no latents."""
        return self.nats + sum(self.kl.values())

    def per_token(self) -> dict[str, float]:
        """Everything as JSON values: nats per target, accuracy, the bound also per note, shares as they are."""
        tokens, notes = max(self.tokens, 1), max(self.notes, 1)
        return {
            "tokens": self.tokens,
            "notes": self.notes,
            "accuracy": self.correct / tokens,
            "nats": self.nats / tokens,
            "mean_nats": self.mean_nats / tokens,
            "bound": self.bound / tokens,
            "bound_per_note": self.bound / notes,
            **{f"kl/{name}": nats / tokens for name, nats in self.kl.items()},
            **{f"active_units/{name}": share for name, share in self.active_units.items()},
            **{f"lost/{name}": nats / tokens for name, nats in self.lost.items()},
        }


@torch.inference_mode()
def latent_use(model: MusicTransformerVAEGAN, batches: Iterable[Rows], *, seed: int = 0) -> LatentUse:
    """Measure `model`, in evaluation mode, on windows of music.

    Args:
        model: of any mode; without latents only likelihood and accuracy are measured.
        batches: rows of equal length, at least two to a batch: each is given the latents of the row before it, so
            neighbours should be of different pieces.
        seed: of the draws from the posteriors.
    """
    use = LatentUse()
    units = {level.name: ActiveUnits(level.size) for level in model.levels}
    generator = torch.Generator().manual_seed(seed)
    for rows in batches:
        _measure(model, rows, use, units, generator)
    use.active_units = {name: seen.share for name, seen in units.items()}
    return use


def _measure(
    model: MusicTransformerVAEGAN,
    rows: Rows,
    use: LatentUse,
    units: Mapping[str, ActiveUnits],
    generator: torch.Generator,
) -> None:
    """Add one batch to `use` and `units`."""
    device = next(model.parameters()).device
    ids, start_steps, context = (torch.from_numpy(part).to(device) for part in rows[:3])
    inputs, targets = ids[:, :-1], targets_of(ids, context)
    positions = torch.arange(inputs.shape[1], device=device)

    def logits_given(latents: Latents) -> Tensor:
        stream = model.stream(latents, positions) if latents else None
        logits: Tensor = model(inputs, start_steps=start_steps, stream=stream)
        return logits

    counts = Counts.of(targets)
    use.tokens, use.notes = use.tokens + counts.tokens, use.notes + counts.notes
    posteriors = model.encode(ids[:, 1:], start_steps) if model.levels else {}
    logits = logits_given({name: posterior.mean for name, posterior in posteriors.items()})
    use.mean_nats += float(nats(logits, targets))
    use.correct += int(((logits.argmax(-1) == targets) & (targets != PAD)).sum())
    if model.prior is None:
        use.nats = use.mean_nats
        return
    drawn = {name: _drawn(posterior, generator) for name, posterior in posteriors.items()}
    z = {name: posterior.z for name, posterior in drawn.items()}
    given = float(nats(logits_given(z), targets))
    use.nats += given
    style = None if rows.style is None else torch.from_numpy(rows.style).to(device)
    conditions = conditions_of(inputs, model.conditions, style) if model.conditions else None
    for name, kl in model.prior.kl(drawn, conditions).items():
        _count(use.kl, name, float(kl.sum()))
        units[name].add(posteriors[name])
    for name in (ALL, *z):
        mixed = rolled(z, None if name == ALL else {name})
        _count(use.lost, name, float(nats(logits_given(mixed), targets)) - given)


def _count(sums: dict[str, float], name: str, more: float) -> None:
    sums[name] = sums.get(name, 0.0) + more


def _drawn(posterior: Posterior, generator: torch.Generator) -> Posterior:
    """The posterior with another draw from it; from the same numbers on every device."""
    mean = posterior.mean
    noise = torch.randn(mean.shape, generator=generator).to(mean)
    return posterior._replace(z=mean + torch.exp(0.5 * posterior.log_variance) * noise)

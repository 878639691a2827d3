"""The evidence lower bound of a whole split, and how much of the music is in the latents."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor

from aurl.loss.reconstruction import nats
from aurl.loss.terms import kl_name
from aurl.model.latents import Level, Posterior
from aurl.model.latents.parts import Reconstruction
from aurl.model.latents.usage import ActiveUnits
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.training.batches import Batch
from aurl.training.processes import Processes
from aurl.training.steps import zero
from aurl.training.validation import Likelihood

DRAW_SEED = 0
"""Latents are drawn alike in every validation, so that only weights make the difference."""
MIXED_TARGETS = 16_384
"""Each process predicts about so many targets with other windows' latents: enough for a difference of 0.01 nats."""
ALL = "all"


@dataclass(frozen=True)
class Bound:
    """Negative log-likelihood and KL divergence of a split: their sum bounds what the music itself costs (beta = 1).

    Args:
        likelihood: of the music given latents drawn from their posteriors.
        kl: level → nats in all.
        active_units: level → share of its dimensions whose posterior means vary over the split, 0–1.
        shuffled_cost: level (`ALL`: all at once) → nats per token that are lost where windows are given each other's
            latents; empty where there is but one window.
    """

    likelihood: Likelihood
    kl: Mapping[str, float]
    active_units: Mapping[str, float]
    shuffled_cost: Mapping[str, float]

    @property
    def criterion(self) -> float:
        """What the best weights have least of: nats per note, KL divergence and all; NaN without notes."""
        return self._whole.nats_per_note

    @property
    def metrics(self) -> dict[str, float]:
        """Everything by its name in the log."""
        tokens = max(1, self.likelihood.tokens)
        return {
            **self.likelihood.metrics,
            "valid/elbo_per_token": self._whole.nats_per_token,
            "valid/elbo_per_note": self._whole.nats_per_note,
            "valid/kl_per_token": sum(self.kl.values()) / tokens,
            **{f"valid/{kl_name(level)}": value / tokens for level, value in self.kl.items()},
            **{f"valid/active_units_{level}": share for level, share in self.active_units.items()},
            **{f"valid/shuffled_cost_{level}": cost for level, cost in self.shuffled_cost.items()},
        }

    @property
    def _whole(self) -> Likelihood:
        own = self.likelihood
        return Likelihood(own.nats + sum(self.kl.values()), own.tokens, own.notes)


@dataclass
class _Seen:
    """One batch that was looked at.

    Args:
        nats: of its targets.
        windows: latents of each window that has any, level → (n, size); such windows come first in a batch.
    """

    nats: Tensor
    windows: list[dict[str, Tensor]]


class _Sums:
    """What is summed over a split.

    Args:
        levels: of the model.
        device: of the model.
    """

    def __init__(self, levels: Sequence[Level], device: torch.device) -> None:
        self.batches: list[_Seen] = []
        self.kl = {level.name: zero(device) for level in levels}
        self.units = {level.name: ActiveUnits(level.size) for level in levels}
        self.tokens = self.notes = 0

    def add(self, batch: Batch, latent: Reconstruction) -> None:
        """Take up what the model made of a batch."""
        self.batches.append(_Seen(nats(latent.logits, batch.targets), _windows(latent.posteriors)))
        for level, posterior in latent.posteriors.items():
            self.kl[level] += latent.kl[level].sum()
            self.units[level].add(posterior)
        self.tokens, self.notes = self.tokens + batch.counts.tokens, self.notes + batch.counts.notes

    def over(self, processes: Processes, shuffled_cost: Mapping[str, float]) -> Bound:
        """The sums of all processes."""
        own_nats = sum(float(seen.nats) for seen in self.batches)
        total, tokens, notes, *kl = processes.sum(own_nats, self.tokens, self.notes, *map(float, self.kl.values()))
        for units in self.units.values():
            units.sums = torch.tensor(processes.sum(*units.sums.tolist()), dtype=units.sums.dtype)
        active = {level: units.share for level, units in self.units.items()}
        likelihood = Likelihood(total, int(tokens), int(notes))
        return Bound(likelihood, dict(zip(self.kl, kl, strict=True)), active, shuffled_cost)


def bound(
    model: MusicTransformerVAEGAN, batches: Iterable[Batch], accelerator: Accelerator, processes: Processes
) -> Bound:
    """The bound of all processes' `batches` under `model`, which is left in the mode that it was in."""
    was_training, device = model.training, accelerator.device
    model.eval()
    sums = _Sums(model.levels, device)
    with torch.no_grad(), accelerator.autocast():
        with drawing_alike(device):
            for batch in batches:
                moved = batch.to(device)
                known = {"start_steps": moved.start_steps, "style": moved.style}
                sums.add(moved, model(moved.inputs, following=moved.following, **known))
        cost = _shuffled_cost(model, batches, sums.batches, processes)
    model.train(was_training)
    return sums.over(processes, cost)


@contextmanager
def drawing_alike(device: torch.device) -> Iterator[None]:
    """Draws inside are the same each time; those that follow are as if there had been none."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(DRAW_SEED)
        yield


def _windows(posteriors: Mapping[str, Posterior]) -> list[dict[str, Tensor]]:
    present = next(iter(posteriors.values())).real[:, 0].tolist()
    rows = [row for row, real in enumerate(present) if real]
    return [{level: posterior.z[row, posterior.real[row]] for level, posterior in posteriors.items()} for row in rows]


def _shuffled_cost(
    model: MusicTransformerVAEGAN, batches: Iterable[Batch], seen: Sequence[_Seen], processes: Processes
) -> dict[str, float]:
    """Level (`ALL`: all at once) → nats per token that are lost with the latents of other windows.

    Each window is given those of the one that is half the split away: neighbours are of the same piece.
    """
    windows = [window for one in seen for window in one.windows]
    lost = dict.fromkeys((ALL, *(level.name for level in model.levels)), 0.0)
    tokens = first = 0
    for batch, one in zip(batches, seen, strict=False):
        if tokens >= MIXED_TARGETS or len(windows) < 2:
            break
        others = [windows[(first + row + len(windows) // 2) % len(windows)] for row in range(len(one.windows))]
        first += len(others)
        if others:
            tokens += batch.counts.tokens
            for name in lost:
                levels = lost.keys() - {ALL} if name == ALL else {name}
                pairs = zip(one.windows, others, strict=True)
                mixed = [own | {level: other[level] for level in levels} for own, other in pairs]
                lost[name] += _nats_given(model, batch, mixed) - float(one.nats)
    all_tokens, *sums = processes.sum(tokens, *lost.values())
    return {name: value / all_tokens for name, value in zip(lost, sums, strict=True)} if all_tokens else {}


def _nats_given(model: MusicTransformerVAEGAN, batch: Batch, windows: Sequence[Mapping[str, Tensor]]) -> float:
    """Negative log-likelihood of a batch's first windows, given latents for each; too few of them are repeated."""
    device = next(model.parameters()).device
    moved, rows = batch.to(device), len(windows)
    positions = torch.arange(moved.inputs.shape[1], device=device)
    latents = {
        level.name: torch.stack(
            [
                window[level.name][torch.arange(level.count(len(positions)), device=device) % len(window[level.name])]
                for window in windows
            ]
        )
        for level in model.levels
    }
    stream = model.stream(latents, positions)
    logits = model(moved.inputs[:rows], start_steps=moved.start_steps[:rows], stream=stream)
    return float(nats(logits, moved.targets[:rows]))

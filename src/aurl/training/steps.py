"""One optimizer update, and the likelihood of a whole split."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from aurl.loss.objective import Losses, Objective, hint_weights, kl_weights
from aurl.loss.reconstruction import Counts
from aurl.loss.schedules import KLSchedule, constant
from aurl.loss.terms import Outcome
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.training.adversary import Adversary
from aurl.training.batches import Batch, batch_counts
from aurl.training.optim import set_learning_rate
from aurl.training.phases import Phase
from aurl.training.processes import Processes
from aurl.training.state import Stateful, Window

DISCRIMINATOR, DISCRIMINATOR_ACCURACY = "discriminator", "discriminator_accuracy"
"""Names in the log of the discriminator's own loss, and of the share of its scores that are on the right side."""
HEARD = "heard"
"""Name of the sum of targets that the discriminator has heard, which is not logged."""


@dataclass
class Learner:
    """Everything an update touches.

    Args:
        accelerator: prepared `model` and `optimizer`.
        model: as Accelerate wrapped it.
        plain: the same model, unwrapped.
        optimizer: as Accelerate wrapped it.
        objective: what is minimised.
        average: moving average of `plain`, None without.
        clip_norm: largest gradient norm, 0 to leave it.
        adversary: the discriminator of mode `vae_gan`, None in others.
        memory: name → what else learns and is kept in checkpoints.
        kl_schedule: how beta moves.
    """

    accelerator: Accelerator
    model: nn.Module
    plain: MusicTransformerVAEGAN
    optimizer: Optimizer
    objective: Objective
    average: AveragedModel | None
    clip_norm: float
    adversary: Adversary | None = None
    memory: dict[str, Stateful] = field(default_factory=dict)
    kl_schedule: KLSchedule = field(default_factory=constant)

    def enter(self, phase: Phase) -> dict[str, float]:
        """Do the next updates as `phase` says.

        Returns:
            What of it there is in this mode, by its name in the log.
        """
        if not self.plain.levels:
            return {}
        self.plain.word_dropout = phase.word_dropout
        hints = hint_weights(self.plain.levels, bag=phase.bag, echo=phase.echo)
        there = {name: hints[name] for name in hints if name in self.objective.weights}
        self.objective.reweigh(kl_weights(self.plain.levels, phase.beta) | there)
        told = {"beta": phase.beta, "word_dropout": phase.word_dropout}
        if self.adversary is None:
            return told
        self.adversary.stage = phase.stage
        set_learning_rate(self.adversary.optimizer, phase.discriminator_lr)
        return told | {"stage": phase.stage, "discriminator_lr": phase.discriminator_lr}

    @property
    def balanced(self) -> dict[str, float]:
        """Weight of each cost that a balancer has moved, as it is now, by its name in the log."""
        weights, factors = self.objective.weights, self.objective.balancer.factors
        return {f"weight/{name}": weights[name] * factor for name, factor in factors.items() if name in weights}

    @property
    def listener(self) -> Adversary | None:
        """The adversary once its time has come."""
        return self.adversary if self.adversary is not None and self.adversary.stage else None

    @property
    def parameters(self) -> int:
        """Numbers that are trained."""
        return sum(parameter.numel() for parameter in self.plain.parameters() if parameter.requires_grad)

    @property
    def evaluated(self) -> MusicTransformerVAEGAN:
        """The weights that are validated, kept as best and sampled from: the average, or else the model itself."""
        return self.plain if self.average is None else cast("MusicTransformerVAEGAN", self.average.module)


def zero(device: torch.device) -> Tensor:
    """A sum to begin with, in float64 where the device has it."""
    return torch.zeros((), dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)


@dataclass
class Sums:
    """Like `Window`, but on the device, so that no step waits for a GPU."""

    nats: Tensor
    loss: Tensor
    gradient_norm: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    tokens: int = 0
    notes: int = 0
    updates: int = 0

    @classmethod
    def on(cls, device: torch.device) -> "Sums":
        """Nothing summed yet."""
        return cls(zero(device), zero(device), zero(device))

    def add(self, losses: Losses) -> None:
        """Take what one batch cost."""
        self.nats += losses.nats
        self.loss += losses.total.detach()
        for name, part in losses.parts.items():
            self.parts.setdefault(name, torch.zeros_like(self.nats)).add_(part)

    def window(self) -> Window:
        """Plain numbers; waits for the device."""
        sums = [self.nats, self.loss, self.gradient_norm, *self.parts.values()]
        nats, loss, norm, *parts = torch.stack(sums).tolist()
        return Window(
            nats, loss, self.tokens, self.notes, norm, self.updates, dict(zip(self.parts, parts, strict=True))
        )


def update(learner: Learner, batches: Sequence[Batch], total: Counts, processes: Processes, sums: Sums) -> None:
    """One optimizer step on this process's `batches`; what it cost is added to `sums`.

    The gradient is that of the mean over all targets of all batches of all processes, however they are spread: the
    sums of every batch are divided by the same `total`, which DDP's mean and Accelerate's division are undone for.

    Args:
        learner: what is changed.
        batches: one per accumulation step.
        total: targets of all processes' batches together.
        processes: how many share the work.
        sums: of this process.
    """
    accelerator, listener = learner.accelerator, learner.listener
    scale = processes.world * len(batches) / max(1, total.tokens)
    models = [learner.model] if listener is None else [learner.model, listener.model]
    optimizers = [learner.optimizer] if listener is None else [learner.optimizer, listener.optimizer]
    learner.objective.balancer.begin()
    for batch in batches:
        with accelerator.accumulate(*models):
            losses = _losses(learner, batch.to(accelerator.device), scale)
            accelerator.backward(losses.total * scale)
            sums.add(losses)
            if accelerator.sync_gradients:
                sums.gradient_norm += _clip(learner)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
    learner.objective.balancer.step()
    if learner.average is not None:
        learner.average.update_parameters(learner.plain)
    own = batch_counts(batches)
    sums.tokens += own.tokens
    sums.notes += own.notes
    sums.updates += 1


def _losses(learner: Learner, batch: Batch, scale: float) -> Losses:
    """What a batch costs the generator; what it costs the discriminator has had its backward pass already."""
    if not learner.plain.levels:
        logits = learner.model(batch.inputs, start_steps=batch.start_steps)
        return learner.objective(Outcome(logits, batch.targets, batch.following))
    known = {"start_steps": batch.start_steps, "following": batch.following, "style": batch.style}
    latent = learner.model(batch.inputs, **known)
    outcome = Outcome(latent.logits, batch.targets, batch.following, latent)
    if learner.listener is None:
        return learner.objective(outcome)
    verdict, heard = learner.listener.judge(learner.plain, batch, latent, scale)
    losses = learner.objective(replace(outcome, heard=heard))
    judged = {DISCRIMINATOR: verdict.loss.detach(), DISCRIMINATOR_ACCURACY: verdict.correct, HEARD: heard.tokens.sum()}
    return replace(losses, parts=losses.parts | judged)


def _clip(learner: Learner) -> Tensor:
    norm: Tensor = learner.accelerator.clip_grad_norm_(learner.plain.parameters(), learner.clip_norm or float("inf"))
    if learner.accelerator.scaler is not None:
        # An fp16 scaler finds its scale by overflowing now and then; it skips such steps itself.
        norm = torch.nan_to_num(norm, nan=0.0, posinf=0.0)
    return norm

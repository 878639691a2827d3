"""One optimizer update, and the likelihood of a whole split."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from aurl.loss.objective import Losses, Objective, hint_weights, kl_weights
from aurl.loss.reconstruction import Counts
from aurl.loss.schedules import KLSchedule, constant
from aurl.loss.terms import Outcome
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.training.adversary import Adversary
from aurl.training.averaging import Averages
from aurl.training.batches import Batch, batch_counts
from aurl.training.clipping import Clipping
from aurl.training.distillation import Teacher
from aurl.training.moment import Moment
from aurl.training.optim import set_learning_rate
from aurl.training.phases import Phase
from aurl.training.plateau import Plateau
from aurl.training.processes import Processes
from aurl.training.sharding import Sharded, averaged_weights, followed, part_of, whole
from aurl.training.splitting import Pieces, Splitting
from aurl.training.state import Stateful, Window


@dataclass
class Learner:
    """Everything an update touches.

    Args:
        accelerator: prepared `model` and `optimizer`.
        model: as Accelerate wrapped it.
        plain: the same model, unwrapped.
        optimizer: as Accelerate wrapped it.
        objective: what is minimised.
        averages: of the weights of `plain`.
        clipping: what is left of a gradient.
        adversary: the discriminator of mode `vae_gan`, None in others.
        memory: name → what else learns and is kept in checkpoints.
        kl_schedule: how beta moves.
        plateau: what is left of the learning rate.
        splitting: how much is learned at once.
        teacher: whom a term of the objective listens to, None where nobody teaches.
    """

    accelerator: Accelerator
    model: nn.Module
    plain: MusicTransformerVAEGAN
    optimizer: Optimizer
    objective: Objective
    averages: Averages
    clipping: Clipping
    adversary: Adversary | None = None
    memory: dict[str, Stateful] = field(default_factory=dict)
    kl_schedule: KLSchedule = field(default_factory=constant)
    plateau: Plateau = field(default_factory=Plateau)
    splitting: Splitting = field(default_factory=Splitting)
    teacher: Teacher | None = None

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
        self.objective.reweigh(self.adversary.weights_now)
        balance = self.adversary.stabiliser.told() if phase.stage else {}
        return told | {"discriminator_stage": phase.stage, "discriminator_lr": phase.discriminator_lr} | balance

    def heed(self, cost: float) -> str | None:
        """Take up what a validation has found, nats per note; says so where that is the end of the adversary."""
        return None if self.adversary is None else self.adversary.stabiliser.validated(cost)

    def begin(self) -> None:
        """An update begins, perhaps again: nobody has heard anything of it."""
        self.objective.balancer.begin()
        if self.adversary is not None:
            self.adversary.begin()

    @property
    def balanced(self) -> dict[str, float]:
        """Weight of each cost that a balancer has moved, as it is now, by its name in the log."""
        weights, factors = self.objective.weights, self.objective.balancer.factors
        return {f"weight/{name}": weights[name] * factor for name, factor in factors.items() if name in weights}

    @property
    def listener(self) -> Adversary | None:
        """The adversary once its time has come, unless it has been given up."""
        return self.adversary if self.adversary is not None and self.adversary.listens else None

    def expected(self, batch: Batch) -> Tensor | None:
        """What the teacher expects of a batch; None where nobody teaches."""
        if self.teacher is None:
            return None
        with self.accelerator.autocast():
            return self.teacher(batch)

    @property
    def parameters(self) -> int:
        """Numbers that are trained."""
        return sum(parameter.numel() for parameter in self.plain.parameters() if parameter.requires_grad)

    @property
    def evaluated(self) -> MusicTransformerVAEGAN:
        """The weights that are validated, kept as best and sampled from: an average, or else the model itself.

        Where they are divided, it has them only while `whole` lasts.
        """
        if isinstance(self.model, Sharded):
            return self.model.whole.model
        average = self.averages.evaluated
        return self.plain if average is None else cast("MusicTransformerVAEGAN", average.module)

    @contextmanager
    def whole(self) -> Iterator[MusicTransformerVAEGAN]:
        """What is `evaluated`, gathered where it is divided; all processes call this."""
        if not isinstance(self.model, Sharded):
            yield self.evaluated
            return
        weights = self.weights(self.averages.evaluated)
        with self.model.whole.filled(weights, self.accelerator.device) as model:
            yield model

    @property
    def weight_norm(self) -> float:
        """Norm of all that is trained; waits for the device."""
        return float(whole(get_total_norm([one.detach() for one in self.plain.parameters() if one.requires_grad])))

    def weights(self, average: AveragedModel | None = None) -> dict[str, Tensor]:
        """Name → tensor of the model, or of an average of it; divided where the model is."""
        if average is None:
            return self.plain.state_dict()
        divided = isinstance(self.model, Sharded)
        return averaged_weights(average, self.plain) if divided else average.module.state_dict()


def zero(device: torch.device) -> Tensor:
    """A sum to begin with, in float64 where the device has it."""
    return torch.zeros((), dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)


@dataclass
class Sums:
    """Like `Window`, but what batches cost is on the device; of an update, only its gradient norm is waited for."""

    nats: Tensor
    loss: Tensor
    gradient_norm: float = 0.0
    parts: dict[str, Tensor] = field(default_factory=dict)
    tokens: int = 0
    notes: int = 0
    updates: int = 0
    losses: list[Tensor] = field(default_factory=list)
    largest_norm: float = 0.0
    clipped: int = 0
    broken: int = 0

    @classmethod
    def on(cls, device: torch.device) -> "Sums":
        """Nothing summed yet."""
        return cls(zero(device), zero(device))

    def add(self, costs: Sequence[Losses], own: Counts, total: Counts) -> None:
        """Take what the batches of one update cost.

        Args:
            costs: of each batch of this process.
            own: their targets.
            total: targets of all processes.
        """
        for losses in costs:
            self.nats += losses.nats
            for name, part in losses.parts.items():
                self.parts.setdefault(name, torch.zeros_like(self.nats)).add_(part)
        loss = torch.stack([losses.total.detach() for losses in costs]).to(self.loss.dtype).sum()
        self.loss += loss
        self.losses.append(loss / max(1, total.tokens))
        self.tokens += own.tokens
        self.notes += own.notes
        self.updates += 1

    def add_norm(self, norm: Tensor, clipped: Tensor, others: Sequence[Tensor] = ()) -> bool:
        """Take the gradient norm of an update; False where one is not finite, so that it is better left out.

        Every process has the same gradient by now, so all of them find the same.

        Args:
            norm: of the generator, before clipping.
            clipped: whether it was.
            others: norms that only have to be finite.
        """
        value, was_clipped, *rest = torch.stack([one.float() for one in (norm, clipped, *others)]).tolist()
        if not all(map(math.isfinite, (value, *rest))):
            self.broken += 1
            return False
        self.gradient_norm += value
        self.largest_norm = max(self.largest_norm, value)
        self.clipped += bool(was_clipped)
        return True

    def window(self) -> Window:
        """Plain numbers; waits for the device."""
        nats, loss, *rest = torch.stack([self.nats, self.loss, *self.parts.values(), *self.losses]).tolist()
        parts, losses = rest[: len(self.parts)], rest[len(self.parts) :]
        return Window(
            nats,
            loss,
            self.tokens,
            self.notes,
            self.gradient_norm,
            self.updates,
            dict(zip(self.parts, parts, strict=True)),
            losses,
            self.largest_norm,
            self.clipped,
            self.broken,
        )


def update(learner: Learner, batches: Sequence[Batch], total: Counts, processes: Processes, sums: Sums) -> bool:
    """One optimizer step on this process's `batches`; what it cost is added to `sums`.

    The gradient is that of the mean over all targets of all batches of all processes, however they are spread: the
    sums of every batch are divided by the same `total`, which DDP's mean and Accelerate's division are undone for.

    Args:
        learner: what is changed.
        batches: one per accumulation step.
        total: targets of all processes' batches together.
        processes: how many share the work.
        sums: of this process.

    Returns:
        Whether there was one: weights and optimizers stay as they are where the gradient is not finite.
    """
    listener, balancer = learner.listener, learner.objective.balancer
    scale = processes.world * len(batches) / max(1, total.tokens)
    learner.begin()
    statistics = _statistics(learner.plain)
    before = [one.clone() for one in statistics]
    costs = _within_memory(learner, batches, scale, processes)
    sound = sums.add_norm(*_clip(learner), [] if listener is None else listener.norms)
    if sound:
        learner.optimizer.step()
    elif statistics:
        torch._foreach_copy_(statistics, before)  # or whatever was no number would be a part of them for ever
    learner.optimizer.zero_grad(set_to_none=True)
    if listener is not None:
        listener.step(sound=sound)
    if processes.world > 1 and statistics:
        _share(learner.accelerator, statistics)
    learner.averages.follow(followed(learner.model, learner.plain))
    if sound:
        balancer.step()
        sums.add(costs, batch_counts(batches), total)
    return sound


def _statistics(model: nn.Module) -> list[Tensor]:
    """What batch normalisation remembers of all batches."""
    return [buffer for name, buffer in model.named_buffers() if name.endswith(("running_mean", "running_var"))]


def _share(accelerator: Accelerator, statistics: Sequence[Tensor]) -> None:
    """Give all processes the mean of their running statistics, or each would validate another model."""
    means = accelerator.reduce(torch.cat(list(statistics)), "mean").split([len(one) for one in statistics])
    torch._foreach_copy_(list(statistics), list(means))


def _within_memory(learner: Learner, batches: Sequence[Batch], scale: float, processes: Processes) -> list[Losses]:
    """All forward and backward passes of an update, in pieces if need be."""
    splitting, adversary = learner.splitting, learner.adversary
    # The optimizer's state comes with its first step, and the discriminator asks for more and more.
    is_new = splitting.is_new(batches, (bool(learner.optimizer.state), adversary.demands if adversary else ()))
    models = [learner.plain] if adversary is None else [learner.plain, adversary.plain]
    before = Moment(learner.accelerator, models, thorough=is_new)

    def begin_again() -> None:
        before.restore()
        learner.begin()

    attempt = partial(_passes, learner, scale=scale)
    if processes.world == 1:
        return splitting.learn(batches, attempt, begin_again)
    if is_new and not isinstance(learner.model, Sharded):  # whose passes nobody can do alone
        splitting.rehearse(batches, partial(_passes, _unwrapped(learner), scale=scale), begin_again)
    return splitting.learn_together(batches, attempt, processes)


def _unwrapped(learner: Learner) -> Learner:
    """The same, without a word to other processes."""
    adversary = learner.adversary
    alone = None if adversary is None else replace(adversary, model=adversary.plain)
    return replace(learner, model=learner.plain, adversary=alone)


def _passes(learner: Learner, pieces: Pieces, *, scale: float) -> list[Losses]:
    """A forward and a backward pass for each piece; gradients are shared out in the last."""
    accelerator, listener = learner.accelerator, learner.listener
    models = [learner.model] if listener is None else [learner.model, listener.model]
    costs = []
    for batch in pieces:
        with accelerator.accumulate(*models):
            for number, piece in enumerate(batch, start=1):
                with ExitStack() as stack:
                    for model in models if number < len(batch) else ():
                        stack.enter_context(accelerator.no_sync(model))
                    losses = _losses(learner, piece.to(accelerator.device), scale)
                    accelerator.backward(losses.total * scale)
                costs.append(replace(losses, total=losses.total.detach()))
    return costs


def _losses(learner: Learner, batch: Batch, scale: float) -> Losses:
    """What a batch costs the generator; what it costs the discriminator has had its backward pass already."""
    if not learner.plain.levels:
        logits = learner.model(batch.inputs, start_steps=batch.start_steps)
        outcome = Outcome(logits, batch.targets, batch.following, start_steps=batch.start_steps)
        return learner.objective(replace(outcome, teacher=learner.expected(batch)))
    known = {"start_steps": batch.start_steps, "following": batch.following, "style": batch.style}
    latent = learner.model(batch.inputs, **known)
    outcome = Outcome(latent.logits, batch.targets, batch.following, latent, start_steps=batch.start_steps)
    outcome = replace(outcome, teacher=learner.expected(batch))
    if learner.listener is None:
        return learner.objective(outcome)
    judged, heard = learner.listener.judge(learner.plain, batch, latent, scale)
    losses = learner.objective(replace(outcome, heard=heard))
    return replace(losses, parts=losses.parts | judged)


def _clip(learner: Learner) -> tuple[Tensor, Tensor]:
    """The gradient's norm before clipping, and whether it was clipped."""
    learner.accelerator.unscale_gradients()
    gradients = [parameter.grad for parameter in learner.plain.parameters() if parameter.grad is not None]
    norm = whole(get_total_norm(gradients))
    share = learner.clipping(norm)
    if share is not None:
        torch._foreach_mul_([part_of(gradient) for gradient in gradients], share)
    if learner.accelerator.scaler is not None:
        # An fp16 scaler finds its scale by overflowing now and then; it skips such steps itself.
        norm = torch.nan_to_num(norm, nan=0.0, posinf=0.0)
    return norm, torch.zeros_like(norm) if share is None else share < 1

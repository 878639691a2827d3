"""One optimizer update, and the likelihood of a whole split."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from aurl.loss.objective import Objective
from aurl.loss.reconstruction import Counts
from aurl.training.batches import Batch, batch_counts
from aurl.training.processes import Processes
from aurl.training.state import Window


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
    """

    accelerator: Accelerator
    model: nn.Module
    plain: nn.Module
    optimizer: Optimizer
    objective: Objective
    average: AveragedModel | None
    clip_norm: float

    @property
    def parameters(self) -> int:
        """Numbers that are trained."""
        return sum(parameter.numel() for parameter in self.plain.parameters() if parameter.requires_grad)

    @property
    def evaluated(self) -> nn.Module:
        """The weights that are validated, kept as best and sampled from: the average, or else the model itself."""
        return self.plain if self.average is None else self.average.module


def zero(device: torch.device) -> Tensor:
    """A sum to begin with, in float64 where the device has it."""
    return torch.zeros((), dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)


@dataclass
class Sums:
    """Like `Window`, but on the device, so that no step waits for a GPU."""

    nats: Tensor
    loss: Tensor
    gradient_norm: Tensor
    tokens: int = 0
    notes: int = 0
    updates: int = 0

    @classmethod
    def on(cls, device: torch.device) -> "Sums":
        """Nothing summed yet."""
        return cls(zero(device), zero(device), zero(device))

    def window(self) -> Window:
        """Plain numbers; waits for the device."""
        values = torch.stack([self.nats, self.loss, self.gradient_norm]).tolist()
        return Window(values[0], values[1], self.tokens, self.notes, values[2], self.updates)


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
    accelerator = learner.accelerator
    scale = processes.world * len(batches) / max(1, total.tokens)
    for batch in batches:
        with accelerator.accumulate(learner.model):
            moved = batch.to(accelerator.device)
            logits = learner.model(moved.inputs, start_steps=moved.start_steps)
            losses = learner.objective(logits, moved.targets)
            accelerator.backward(losses.total * scale)
            sums.nats += losses.nats
            sums.loss += losses.total.detach()
            if accelerator.sync_gradients:
                sums.gradient_norm += _clip(learner)
            learner.optimizer.step()
            learner.optimizer.zero_grad(set_to_none=True)
    if learner.average is not None:
        learner.average.update_parameters(learner.plain)
    own = batch_counts(batches)
    sums.tokens += own.tokens
    sums.notes += own.notes
    sums.updates += 1


def _clip(learner: Learner) -> Tensor:
    norm: Tensor = learner.accelerator.clip_grad_norm_(learner.plain.parameters(), learner.clip_norm or float("inf"))
    if learner.accelerator.scaler is not None:
        # An fp16 scaler finds its scale by overflowing now and then; it skips such steps itself.
        norm = torch.nan_to_num(norm, nan=0.0, posinf=0.0)
    return norm

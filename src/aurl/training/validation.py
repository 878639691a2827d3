"""The likelihood of a whole split, the number that runs are compared by."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import nn

from aurl.loss.reconstruction import nats
from aurl.training.batches import Batch
from aurl.training.processes import Processes
from aurl.training.steps import zero


@dataclass(frozen=True)
class Likelihood:
    """Negative log-likelihood of a split.

    Args:
        nats: in all.
        tokens: over so many targets.
        notes: of which so many begin a note.
    """

    nats: float
    tokens: int
    notes: int

    @property
    def nats_per_token(self) -> float:
        """NaN without tokens."""
        return self.nats / self.tokens if self.tokens else float("nan")

    @property
    def nats_per_note(self) -> float:
        """All nats, those of time, velocity and control ids too, per note; NaN without notes."""
        return self.nats / self.notes if self.notes else float("nan")

    @property
    def criterion(self) -> float:
        """What the best weights have least of."""
        return self.nats_per_note

    @property
    def metrics(self) -> dict[str, float]:
        """Everything by its name in the log."""
        return {
            "valid/nats_per_token": self.nats_per_token,
            "valid/nats_per_note": self.nats_per_note,
            "valid/tokens": self.tokens,
            "valid/notes": self.notes,
        }


def likelihood(
    model: nn.Module, batches: Iterable[Batch], accelerator: Accelerator, processes: Processes
) -> Likelihood:
    """Likelihood of all processes' `batches` under `model`, which is left in the mode that it was in."""
    was_training = model.training
    model.eval()
    total = zero(accelerator.device)
    tokens = notes = 0
    with torch.no_grad(), accelerator.autocast():
        for batch in batches:
            moved = batch.to(accelerator.device)
            total += nats(model(moved.inputs, start_steps=moved.start_steps), moved.targets)
            tokens, notes = tokens + batch.counts.tokens, notes + batch.counts.notes
    model.train(was_training)
    summed, all_tokens, all_notes = processes.sum(float(total), tokens, notes)
    return Likelihood(summed, int(all_tokens), int(all_notes))

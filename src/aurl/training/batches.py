"""Batches as training sees them, and the endless stream of them that can go on from anywhere."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aurl.loss.reconstruction import Counts, targets_of


@dataclass(frozen=True, slots=True)
class Batch:
    """Some windows of music.

    Args:
        inputs: (B, T) ids.
        targets: (B, T) the id after each, PAD where nothing is to be predicted.
        start_steps: (B,) musical time before the first id.
        counts: targets in it; known without asking a GPU.
    """

    inputs: Tensor
    targets: Tensor
    start_steps: Tensor
    counts: Counts

    @classmethod
    def of(cls, collated: dict[str, Tensor]) -> "Batch":
        """From what the data loader gives: `ids` (B, T + 1), `start_steps` (B,), `context` (B,)."""
        ids = collated["ids"]
        targets = targets_of(ids, collated.get("context"))
        return cls(ids[:, :-1], targets, collated["start_steps"], Counts.of(targets))

    def to(self, device: torch.device) -> "Batch":
        """The same batch there."""
        if device.type == "cpu":
            return self
        moved = (part.to(device, non_blocking=True) for part in (self.inputs, self.targets, self.start_steps))
        return Batch(*moved, self.counts)


def batch_counts(batches: Iterable[Batch]) -> Counts:
    """Targets in several batches."""
    counts = [batch.counts for batch in batches]
    return Counts(sum(one.tokens for one in counts), sum(one.notes for one in counts))

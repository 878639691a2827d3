"""Batches as training sees them, and the endless stream of them that can go on from anywhere."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from aurl.data.batching import WindowSampler, loader
from aurl.data.dataset import TokenDataset
from aurl.data.hybrid import HybridView
from aurl.loss.reconstruction import Counts, targets_of


@dataclass(frozen=True, slots=True)
class Batch:
    """Some windows of music.

    Args:
        inputs: (B, T) ids.
        targets: (B, T) the id after each, PAD where nothing is to be predicted.
        following: (B, T) the id after each, PAD where there is none: what the window is about, context and all.
        start_steps: (B,) musical time before the first id.
        counts: targets in it; known without asking a GPU.
        hybrid: the hybrid view of the inputs by name, empty where the profile does not ask for it.
        style: (B,) number of the style of each window, -1 unknown; None where the run knows no styles.
        augmented: how many of the windows were varied.
    """

    inputs: Tensor
    targets: Tensor
    following: Tensor
    start_steps: Tensor
    counts: Counts
    hybrid: Mapping[str, Tensor] = field(default_factory=dict)
    style: Tensor | None = None
    augmented: int = 0

    @classmethod
    def of(cls, collated: dict[str, Tensor]) -> "Batch":
        """From what the data loader gives: `ids` (B, T + 1), others (B,), hybrid view."""
        ids = collated["ids"]
        view = {name: collated[name] for name in HybridView._fields if name in collated}
        hybrid = {name: part if name == "roll" else part[:, :-1] for name, part in view.items()}
        targets = targets_of(ids, collated["context"])
        steps, style = collated["start_steps"], collated.get("style")
        augmented = int(collated["augmented"].sum()) if "augmented" in collated else 0
        return cls(ids[:, :-1], targets, ids[:, 1:], steps, Counts.of(targets), hybrid, style, augmented)

    @property
    def windows(self) -> int:
        """How many there are."""
        return len(self.inputs)

    def to(self, device: torch.device) -> "Batch":
        """The same batch there."""
        if device.type == "cpu":
            return self
        inputs, targets, following, start_steps, *view = (
            part.to(device, non_blocking=True)
            for part in (self.inputs, self.targets, self.following, self.start_steps, *self.hybrid.values())
        )
        hybrid = dict(zip(self.hybrid, view, strict=True))
        style = None if self.style is None else self.style.to(device, non_blocking=True)
        return Batch(inputs, targets, following, start_steps, self.counts, hybrid, style, self.augmented)


def batch_counts(batches: Iterable[Batch]) -> Counts:
    """Targets in several batches."""
    counts = [batch.counts for batch in batches]
    return Counts(sum(one.tokens for one in counts), sum(one.notes for one in counts))


def batches_of(loaded: Iterable[dict[str, Tensor]]) -> Iterator[Batch]:
    """The loader's batches; making its iterator draws a random number, of which dropout must not hear."""
    with torch.random.fork_rng(devices=[]):
        iterator = iter(loaded)
    return map(Batch.of, iterator)


class ValidationBatches:
    """The windows that cover every target of a split once, in the same order each time.

    Args:
        dataset: windows of the split.
        batch_size: windows in one batch.
        batch_tokens: as the sampler's; None for batches of `batch_size`.
        rank: number of this process.
        world: how many there are.
    """

    def __init__(
        self, dataset: TokenDataset, *, batch_size: int, batch_tokens: int | None = None, rank: int, world: int
    ) -> None:
        self._windows = len(dataset)
        sampler = WindowSampler(
            dataset, batch_size=batch_size, batch_tokens=batch_tokens, rank=rank, world=world, shuffle=False
        )
        self._loader = loader(dataset, sampler)

    def __len__(self) -> int:
        """Windows of all processes; 0 where the split is empty."""
        return self._windows

    def __iter__(self) -> Iterator[Batch]:
        return batches_of(self._loader)


class BatchStream:
    """Training batches without end, epoch after epoch, from any place on.

    Args:
        dataset: windows of the training split.
        sampler: decides what each batch holds; its epoch and first batch are set here.
        workers: loader processes.
        prefetch: batches that each of them has ready.
        pin_memory: for a GPU.
        epoch: epochs that are complete.
        batch: batches of the next one that have been learned.
    """

    def __init__(
        self,
        dataset: TokenDataset,
        sampler: WindowSampler,
        *,
        workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool = False,
        epoch: int = 0,
        batch: int = 0,
    ) -> None:
        self._sampler = sampler
        self._loader = loader(dataset, sampler, workers=workers, prefetch=prefetch, pin_memory=pin_memory)
        self._taken = self.epoch, self.batch = epoch, batch
        self._batches = self._begin(epoch, batch)

    def _begin(self, epoch: int, batch: int) -> Iterator[Batch]:
        self._sampler.set_epoch(epoch, start_batch=batch)
        return batches_of(self._loader)

    def take(self, count: int) -> list[Batch]:
        """The next batches; they count as learned once `commit` is called."""
        return [self._next() for _ in range(count)]

    def _next(self) -> Batch:
        epoch, batch = self._taken
        found = next(self._batches, None)
        if found is None:
            epoch, batch = epoch + 1, 0
            self._batches = self._begin(epoch, batch)
            found = next(self._batches)
        self._taken = epoch, batch + 1
        return found

    def commit(self) -> tuple[int, int]:
        """Count everything taken as learned.

        Returns:
            Complete epochs, and batches learned of the one after them.
        """
        self.epoch, self.batch = self._taken
        return self._taken

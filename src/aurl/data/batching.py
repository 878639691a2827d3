"""Windows → batches of tensors, in an order that only seed, epoch and number decide."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from aurl.data.dataset import Item, TokenDataset
from aurl.data.windows import Window, Windows
from aurl.tokens.vocabulary import PAD

MIN_IDS = 2
"""One input and one target: models take no empty sequences."""
NOTHING = Window(0, 1, 1)
"""A window without targets."""


class WindowSampler(Sampler[list[Window]]):
    """The windows of each batch of an epoch, for one of several processes.

    Shuffled: boundaries and order are drawn anew in each epoch. Windows that would not fill a last batch in all
    processes are left for other epochs; if there is less than one batch, windows are repeated to fill it.
    Not shuffled: the windows that cover every target once, in order. Every process gets as many batches of the same
    size, the last filled up with windows that have nothing to predict, so that sums over all processes are exact.

    Args:
        dataset: where the windows are from.
        batch_size: windows in a batch of one process.
        seed: of the run.
        epoch: first epoch.
        rank: number of this process.
        world: processes.
        start_batch: batches of the first epoch to leave out, because they have been seen.
        shuffle: as said above.
    """

    def __init__(
        self,
        dataset: TokenDataset,
        *,
        batch_size: int,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world: int = 1,
        start_batch: int = 0,
        shuffle: bool = True,
    ) -> None:
        self._dataset = dataset
        self._batch_size = batch_size
        self._seed = seed
        self._rank = rank
        self._world = world
        self._shuffle = shuffle
        self.epoch = epoch
        self.start_batch = start_batch

    def set_epoch(self, epoch: int, *, start_batch: int = 0) -> None:
        """Let the next iteration give the batches of `epoch` from `start_batch` on."""
        self.epoch = epoch
        self.start_batch = start_batch

    @property
    def batches_per_epoch(self) -> int:
        """Batches of a whole epoch in each process."""
        step = self._batch_size * self._world
        count = self._dataset.tiling.drawn if self._shuffle else len(self._dataset)
        full, rest = divmod(count, step)
        return full + bool(rest and (not self._shuffle or not full))

    def __len__(self) -> int:
        """Batches left in the epoch."""
        return max(self.batches_per_epoch - self.start_batch, 0)

    def __iter__(self) -> Iterator[list[Window]]:
        if self._shuffle:
            rng = np.random.default_rng((self._seed, self.epoch))
            windows = self._dataset.tiling.draw(rng)
            order = rng.permutation(len(windows))
        else:
            windows = self._dataset.windows
            order = np.arange(len(windows))
        for batch in range(self.start_batch, self.batches_per_epoch):
            begin = (batch * self._world + self._rank) * self._batch_size
            yield [self._window(windows, order, place) for place in range(begin, begin + self._batch_size)]

    def _window(self, windows: Windows, order: NDArray[np.int64], place: int) -> Window:
        if place < len(order) or self._shuffle:
            return windows.at(int(order[place % len(order)]))
        return NOTHING


def collate(items: Sequence[Item]) -> dict[str, Tensor]:
    """Stack examples.

    Returns:
        ids: (B, T + 1) int64, padded with PAD behind the end, T ≥ 1.
        start_steps: (B,) int64, time before the first id of the body, in steps.
        context: (B,) int64, leading ids that are not to be predicted.
    """
    longest = max(MIN_IDS, *(len(item.ids) for item in items))
    ids = np.full((len(items), longest), PAD, np.int64)
    for row, item in zip(ids, items, strict=True):
        row[: len(item.ids)] = item.ids
    return {
        "ids": torch.from_numpy(ids),
        "start_steps": torch.tensor([item.start_step for item in items], dtype=torch.int64),
        "context": torch.tensor([item.context for item in items], dtype=torch.int64),
    }


def loader(
    dataset: TokenDataset, sampler: WindowSampler, *, workers: int = 0, pin_memory: bool = False
) -> DataLoader[dict[str, Tensor]]:
    """Batches of `dataset` as `sampler` orders them, the same with any number of workers.

    Workers live as long as the loader; `sampler.set_epoch` works between two iterations.
    """
    return DataLoader(
        cast("Dataset[Any]", dataset),
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # or each iteration would draw from the generator that dropout uses
    )

"""Windows → batches of tensors, in an order that only seed, epoch and number decide."""

import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from threading import Thread
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from aurl.data.buckets import Steps, by_count, by_tokens
from aurl.data.curriculum import Curriculum
from aurl.data.dataset import Rows, TokenDataset
from aurl.data.windows import Windows
from aurl.data.workers.engine import START_METHOD

READ_AT_ONCE = 512
"""Windows that are read in one go where no other process reads: small batches cost half as much then. Of 1,024 tokens
they are a MiB, which caches still hold; twice as many take half as long again."""
PARENT_GONE = 1
"""Exit code of a loader process that has nobody left to load for."""


class WindowSampler(Sampler[Windows]):
    """The windows of each batch of an epoch, for one of several processes.

    Every window of the epoch is in one batch of one process. All processes have as many batches, and as many windows
    in each: where windows are too few, some have nothing to predict, so that sums over all processes are exact.

    Shuffled: boundaries and order are drawn anew in each epoch, and what an epoch consists of is a function of `seed`
    and its number alone. Not shuffled: the data set's own windows, always in the same order.

    Args:
        dataset: where the windows are from.
        batch_size: windows in a batch of one process.
        batch_tokens: ids that a model reads of a batch of one process, padding and all: batches hold as many windows of
            like length as this allows. None for batches of `batch_size`.
        curriculum: which windows an epoch is made of, and in which order.
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
        batch_tokens: int | None = None,
        curriculum: Curriculum | None = None,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world: int = 1,
        start_batch: int = 0,
        shuffle: bool = True,
    ) -> None:
        self._dataset = dataset
        self._batch_size, self._batch_tokens = batch_size, batch_tokens
        self._curriculum = curriculum
        self._seed = seed
        self._rank, self._world = rank, world
        self._shuffle = shuffle
        self._planned: tuple[int, Windows, Steps] | None = None
        self.set_epoch(epoch, start_batch=start_batch)

    def set_epoch(self, epoch: int, *, start_batch: int = 0) -> None:
        """Let the next iteration give the batches of `epoch` from `start_batch` on."""
        self.epoch = epoch
        self.start_batch = start_batch

    def __len__(self) -> int:
        """Batches left in the epoch."""
        _, steps = self._plan()
        return max(len(steps) - self.start_batch, 0)

    def __iter__(self) -> Iterator[Windows]:
        windows, steps = self._plan()
        for step in range(self.start_batch, len(steps)):
            places, count = steps.share(step, self._rank, self._world)
            yield windows.take(places).filled(count)

    def _plan(self) -> tuple[Windows, Steps]:
        """All windows of the epoch, and which of them make each step."""
        key = self.epoch if self._shuffle else 0
        if self._planned is None or self._planned[0] != key:
            self._planned = (key, *self._make_plan())
        return self._planned[1:]

    def _make_plan(self) -> tuple[Windows, Steps]:
        rng = np.random.default_rng((self._seed, self.epoch)) if self._shuffle else None
        windows = self._dataset.windows if rng is None else self._dataset.draw(rng).drawn(self._seed, self.epoch)
        if rng is None:
            order = np.arange(len(windows))
        elif self._curriculum is None:
            order = rng.permutation(len(windows))
        else:
            order = self._curriculum.order(windows.piece, self.epoch, rng)
        if self._batch_tokens is None:
            return windows, by_count(order, count=self._batch_size * self._world)
        lengths = self._dataset.tiling.inputs(windows)
        return windows, by_tokens(order, lengths, tokens=self._batch_tokens, world=self._world, rng=rng)


def collate(rows: Rows) -> dict[str, Tensor]:
    """A batch as tensors: `ids`, `start_steps`, `context`; `style`, `augmented`, the hybrid view if they are there."""
    columns: dict[str, Any] = {"ids": rows.ids, "start_steps": rows.start_steps, "context": rows.context}
    optional = {"style": rows.style, "augmented": rows.augmented}
    columns |= {name: column for name, column in optional.items() if column is not None}
    if rows.hybrid is not None:
        columns |= rows.hybrid._asdict()
    return {name: torch.from_numpy(column) for name, column in columns.items()}


def loader(
    dataset: TokenDataset,
    sampler: WindowSampler,
    *,
    workers: int = 0,
    prefetch: int = 2,
    pin_memory: bool = False,
) -> Iterable[dict[str, Tensor]]:
    """Batches of `dataset` as `sampler` orders them, the same with any number of workers.

    Workers live as long as the loader; `sampler.set_epoch` works between two iterations.

    Args:
        dataset: what is read.
        sampler: what of it, in which order.
        workers: processes that read; 0 reads in this one.
        prefetch: batches that each worker has ready.
        pin_memory: for a GPU.
    """
    if not workers and not pin_memory:
        return _Reader(dataset, sampler)
    context = multiprocessing.get_context(START_METHOD)
    if START_METHOD == "forkserver":
        context.set_forkserver_preload([__name__])
    return DataLoader(
        cast("Dataset[Any]", dataset),
        batch_sampler=cast("Any", sampler),
        collate_fn=cast("Any", collate),  # torch expects a list; `__getitems__` gives rows
        num_workers=workers,
        persistent_workers=workers > 0,
        prefetch_factor=prefetch if workers else None,
        # What torch would take on Linux copies a process whose other threads may hold locks.
        multiprocessing_context=context if workers else None,
        worker_init_fn=_begin,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # or each iteration would draw from the generator that dropout uses
    )


class _Reader:
    """Reads in the process that asks; torch's own loader would take half of the time for itself."""

    def __init__(self, dataset: TokenDataset, sampler: WindowSampler) -> None:
        self._dataset, self._sampler = dataset, sampler

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        waiting: list[Windows] = []
        for windows in self._sampler:
            waiting.append(windows)
            if sum(map(len, waiting)) >= READ_AT_ONCE:
                yield from map(collate, self._dataset.batches(waiting))
                waiting = []
        if waiting:
            yield from map(collate, self._dataset.batches(waiting))


def _begin(worker: int) -> None:
    """In a loader process: leave Ctrl-C to the process that trains, and end when it is gone, whatever ended it.

    Torch's own watch looks at the process that forked this one, which is not the one that trains.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(PARENT_GONE)

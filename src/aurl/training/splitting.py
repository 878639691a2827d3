"""Batches that do not fit into memory are learned in pieces, row by row if need be.

Every cost is a sum over the targets of its batch and is divided by the targets of the whole update, so the gradients
of pieces add up to that of the batch. What a piece cannot know is the rest of its batch: free bits are given to the
mean of each piece, batch statistics are those of a piece, and noise is drawn piece by piece.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from accelerate.utils.memory import clear_device_cache
from torch import Tensor

from aurl.errors import AurlError
from aurl.loss.kl import AddUp, alone
from aurl.loss.reconstruction import Counts
from aurl.training.batches import Batch
from aurl.training.processes import Processes

logger = logging.getLogger(__name__)
T = TypeVar("T")
Pieces = Sequence[Sequence[Batch]]
"""Of each batch of an update, all of it."""
OUT_OF_MEMORY = (
    "out of memory",  # CUDA, ROCm, XPU and MPS
    "CUBLAS_STATUS_ALLOC_FAILED",
    "can't allocate memory",  # torch's allocator on CPUs
    "not enough memory",  # the same on Windows
)
"""What an allocator that failed says, where it has no exception of its own."""
FEWER = "lower data.batch_size (or data.batch_tokens) and go on with aurl resume"
SMALLER = 'lower data.seq_len or model.d_model, set model.checkpointing = true, or training.precision = "bf16"'


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)


def split(batch: Batch, count: int) -> list[Batch]:
    """The rows of `batch` in `count` pieces of nearly equal size, at most as many as there are rows."""
    if count == 1:
        return [batch]
    rows = torch.arange(len(batch.inputs)).tensor_split(min(count, len(batch.inputs)))
    return [_rows(batch, int(some[0]), int(some[-1]) + 1) for some in rows]


def _rows(batch: Batch, begin: int, end: int) -> Batch:
    def cut(tensor: Tensor) -> Tensor:
        return tensor[begin:end]

    targets = cut(batch.targets)
    return replace(
        batch,
        inputs=cut(batch.inputs),
        targets=targets,
        following=cut(batch.following),
        start_steps=cut(batch.start_steps),
        counts=Counts.of(targets),
        hybrid={name: cut(view) for name, view in batch.hybrid.items()},
        style=None if batch.style is None else cut(batch.style),
    )


class Splitting:
    """How many ids are learned at once; learned from allocations that fail.

    One process tries an update again from its start, in smaller pieces. Several cannot: one that fails in the middle
    of a step leaves the others waiting for it. There each process first rehearses, by itself and without effect, a
    piece that is larger than any before; then all agree on the number of pieces.

    Args:
        add_up: sums a tensor over all processes.

    Attributes:
        places: most rows × length, padding and all, that are learned at once; None: whatever comes.
    """

    def __init__(self, add_up: AddUp = alone) -> None:
        self.places: int | None = None
        self._fits = 0
        self._circumstances: object = None
        self._together, self._add_up = True, add_up

    def add_up(self, own: Tensor) -> Tensor:
        """The sum over all processes, or while this one rehearses its own."""
        return self._add_up(own) if self._together else own

    def is_new(self, batches: Sequence[Batch], circumstances: object) -> bool:
        """Whether a piece of an update is larger than any that is known to fit.

        Args:
            batches: of the update.
            circumstances: whatever else memory depends on; once they differ, nothing is known.
        """
        if circumstances != self._circumstances:
            self._circumstances, self._fits = circumstances, 0
        return _places(_largest(self._own(batches))) > self._fits

    def learn(self, batches: Sequence[Batch], attempt: Callable[[Pieces], T], undo: Callable[[], None]) -> T:
        """What `attempt` gives for all pieces of `batches`, which are made smaller until they fit.

        Args:
            batches: of one update.
            attempt: learns pieces of batches.
            undo: called after it failed: drops what it has done.

        Raises:
            AurlError: a single row does not fit.
        """
        before = self.places
        while True:
            pieces = self._own(batches)
            found = _tried(attempt, pieces)
            if found:
                self._fits = max(self._fits, _places(_largest(pieces)))
                self._tell(before, batches)
                return found[0]
            undo()
            clear_device_cache(garbage_collection=True)
            self.places = _half(pieces)

    def rehearse(self, batches: Sequence[Batch], attempt: Callable[[Pieces], object], undo: Callable[[], None]) -> None:
        """Find out, alone, how large pieces may be, by the largest; all is as before in the end.

        Raises:
            AurlError: a single row does not fit.
        """
        largest = max(batches, key=lambda batch: _places(_largest(self._own([batch]))))
        self._together = False
        try:
            self.learn([largest], lambda pieces: attempt([[_largest(pieces)]]), undo)
        finally:
            self._together = True
        undo()

    def learn_together(self, batches: Sequence[Batch], attempt: Callable[[Pieces], T], processes: Processes) -> T:
        """What `attempt` gives for pieces of which each process has as many; all of them call this.

        Raises:
            AurlError: there was not enough memory after all.
        """
        own = math.inf if self.places is None else self.places
        *counts, least = processes.maximum(*(self._count(batch) for batch in batches), -own)
        self.places = None if math.isinf(least) else -int(least)
        found = _tried(attempt, [split(batch, int(count)) for batch, count in zip(batches, counts, strict=True)])
        if not found:
            raise AurlError("one of several processes has run out of memory in the middle of a step", hint=FEWER)
        return found[0]

    def _own(self, batches: Sequence[Batch]) -> Pieces:
        return [split(batch, self._count(batch)) for batch in batches]

    def _count(self, batch: Batch) -> int:
        rows, length = batch.inputs.shape
        if self.places is None or rows * length <= self.places:
            return 1
        at_once = max(1, self.places // length)
        return -(-rows // at_once)

    def _tell(self, before: int | None, batches: Sequence[Batch]) -> None:
        if self.places == before or self.places is None:
            return
        rows, length = max((batch.inputs.shape for batch in batches), key=math.prod)
        logger.warning(
            "%d windows of %d ids do not fit into memory: from now on at most %d are learned at once, and still take a "
            "step together; to choose it yourself, lower data.batch_size and raise training.accumulation",
            rows,
            length,
            max(1, self.places // length),
        )

    def state_dict(self) -> dict[str, Any]:
        """What has been learned."""
        return {"places": self.places}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.places = None if state["places"] is None else int(state["places"])


def _tried(attempt: Callable[[Pieces], T], pieces: Pieces) -> list[T]:
    """What `attempt` gives, or nothing where memory was short; by then nothing holds on to what failed."""
    try:
        return [attempt(pieces)]
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return []


def _places(piece: Batch) -> int:
    return piece.inputs.numel()


def _largest(pieces: Pieces) -> Batch:
    return max((piece for batch in pieces for piece in batch), key=_places)


def _half(pieces: Pieces) -> int:
    """Half of the largest piece that can be divided.

    Raises:
        AurlError: none can.
    """
    several = [piece for batch in pieces for piece in batch if len(piece.inputs) > 1]
    if not several:
        raise AurlError(f"a window of {_places(_largest(pieces))} ids does not fit into memory", hint=SMALLER)
    rows, length = max(several, key=_places).inputs.shape
    return (rows + 1) // 2 * length

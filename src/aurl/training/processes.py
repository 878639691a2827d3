"""What the processes of one run tell one another; with one process everything is as cheap as it looks."""

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed

from aurl.errors import AurlError

T = TypeVar("T")


class Processes:
    """Small messages between processes, over gloo on the CPU so that no GPU has to wait for them.

    Every process must make the same calls in the same order.

    Args:
        rank: which of them this one is.
        world: how many there are.
    """

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world = rank, world
        alone = world == 1
        self._group: Any = (
            None if alone or distributed.get_backend() == "gloo" else distributed.new_group(backend="gloo")
        )

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """Each value summed over the processes, in float64."""
        return self._reduce(values, distributed.ReduceOp.SUM)

    def maximum(self, *values: float) -> list[float]:
        """The largest of each value."""
        return self._reduce(values, distributed.ReduceOp.MAX)

    def _reduce(self, values: tuple[float, ...], operation: Any) -> list[float]:
        if self.world == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(tensor, op=operation, group=self._group)
        return tensor.tolist()

    def from_main(self, value: T) -> T:
        """What the main process has as `value`."""
        if self.world == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0, group=self._group)
        return box[0]

    def on_main(self, action: Callable[[], T]) -> T:
        """What `action` gives in the main process, in all of them.

        Raises:
            AurlError: it failed there; the main process raises what it raised.
        """
        if self.world == 1:
            return action()
        if not self.is_main:
            succeeded, value = self.from_main((False, cast("T", None)))
            if not succeeded:
                raise AurlError("the main process failed")
            return value
        try:
            value = action()
        except BaseException:
            self.from_main((False, None))
            raise
        return self.from_main((True, value))[1]

    def gather(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of all processes as `RANK.NAME` → tensor in the main process, nothing in the others."""
        if self.world == 1:
            return {f"0.{name}": tensor for name, tensor in tensors.items()}
        boxes: list[Any] | None = [None] * self.world if self.is_main else None
        distributed.gather_object(tensors, boxes, dst=0, group=self._group)
        return {f"{rank}.{name}": tensor for rank, box in enumerate(boxes or []) for name, tensor in box.items()}


def environment_rank() -> int:
    """Rank that a launcher gave this process, 0 where there is no launcher; known before torch is imported."""
    return int(os.environ.get("RANK", "0"))


def environment_world() -> int:
    """Number of processes that a launcher started, 1 where there is no launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_world() -> int:
    """How many of them are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))

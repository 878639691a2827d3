"""What is learned about a task from the workers that it has cost: which of its items ended them, and why."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from aurl.data.workers.worker import Ended, Fault, fault_of
from aurl.errors import AurlError
from aurl.midi.reasons import RejectReason

MAX_UNEXPLAINED = 3
"""Deaths of one task's workers that no file explains (killed from outside) before we give up."""

logger = logging.getLogger(__name__)


class Job(Protocol):
    """What a task is to an engine: a name, and items that are worked on one after the other."""

    @property
    def name(self) -> str:
        """Unique among the tasks of a run, and fit for a file name."""

    @property
    def sources(self) -> Sequence[Any]:
        """What is worked on, one after the other."""


J = TypeVar("J", bound=Job)


@dataclass(slots=True)
class Attempts(Generic[J]):
    """A task and what its attempts so far have taught.

    Args:
        task: what to do.
        faults: index of an item → why it must be left out.
        unexplained: deaths that no item explains.
    """

    task: J
    faults: dict[int, Fault] = field(default_factory=dict)
    unexplained: int = 0

    def blame(self, ended: Ended) -> None:
        """Note which item ended a worker, if any did.

        Raises:
            AurlError: workers keep dying outside any item.
        """
        fault = fault_of(ended.ending)
        is_item = 0 <= ended.index < len(self.task.sources) and ended.index not in self.faults
        if fault is not None and is_item:
            self.faults[ended.index] = fault
            return
        self.unexplained += 1
        logger.warning("a worker on %s ended (%s) and is replaced", self.task.name, ended.ending)
        if self.unexplained < MAX_UNEXPLAINED:
            return
        if not is_item:
            hint = "raise prepare.memory_mb, or use fewer --jobs"
            raise AurlError(f"workers keep ending outside any file: {ended.ending}", hint=hint)
        self.faults[ended.index] = Fault(RejectReason.CRASH, f"its worker was killed {MAX_UNEXPLAINED} times")

"""Worker processes that survive any file: a file that hangs, takes too much memory or crashes costs only itself.

A worker marks each file before it opens it, and its own alarm clock and memory limit end it. From the mark and the way
in which the worker ended, the parent knows which file it was and why; the task is then done again without that file.
Results go through the disk, not through the pipe, so that a worker's death can never leave half a message in it.
"""

import logging
import multiprocessing
import os
import signal
import struct
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from pebble import ProcessExpired, ProcessPool

from aurl.data.limits import limit_memory
from aurl.errors import AurlError
from aurl.midi.reasons import RejectReason
from aurl.progress import Interrupts

START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
"""Workers must not inherit the memory, threads and locks of a parent that may hold torch."""
MEMORY_EXIT = 77
"""Exit code of a worker that ran into its memory limit: it does not go on with what is left of its heap."""
NO_FILE = -1
MAX_UNEXPLAINED = 3
"""Deaths of one task's workers that no file explains (killed from outside) before we give up."""
POLL_SECONDS = 0.1
_MARK = struct.Struct("<q")

logger = logging.getLogger(__name__)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a file could not be finished."""

    reason: RejectReason
    text: str


class Job(Protocol):
    """What a task is to the engine: a name, and items that are worked on one after the other."""

    @property
    def name(self) -> str:
        """Unique among the tasks of a run, and fit for a file name."""

    @property
    def sources(self) -> Sequence[Any]:
        """What is worked on, one after the other."""


J = TypeVar("J", bound=Job)


class Work(Protocol[R_co]):
    """What workers do with a task; a function of a module, so that it can be sent to them.

    Args:
        task: what to do.
        faults: index of an item → why it must be left out.
        mark: to be called with the index of each item before it is begun.
    """

    def __call__(self, task: Any, faults: Mapping[int, Fault], mark: "Mark") -> R_co:
        """Do the task."""


class Mark:
    """Which item a worker is at, on disk, and its alarm clock.

    Args:
        path: file that holds the index.
        seconds: how long one item may take.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._seconds = seconds
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self(NO_FILE)

    def __call__(self, index: int) -> None:
        """Say that `index` is begun; `NO_FILE` stops the clock."""
        os.pwrite(self._descriptor, _MARK.pack(index), 0)
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0 if index == NO_FILE else self._seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self(NO_FILE)
        os.close(self._descriptor)


def _read_mark(path: Path) -> int:
    try:
        return int(_MARK.unpack(path.read_bytes())[0])
    except (OSError, struct.error):
        return NO_FILE


def _perform(work: Work[R], task: Any, faults: Mapping[int, Fault], path: Path, seconds: float) -> R:
    """In the worker: do the task, or end at once when memory runs out."""
    with Mark(path, seconds) as mark:
        try:
            return work(task, faults, mark)
        except MemoryError:
            os._exit(MEMORY_EXIT)


@dataclass(slots=True)
class _Running(Generic[J]):
    task: J
    faults: dict[int, Fault] = field(default_factory=dict)
    unexplained: int = 0


class Engine:
    """Local worker processes.

    Args:
        jobs: how many.
        folder: where workers may keep their marks.
        timeout_seconds: limit for one file.
        memory_mb: limit in MiB for what a worker takes beyond its start.
        preload: module that workers import once and share.
    """

    def __init__(
        self, *, jobs: int, folder: Path, timeout_seconds: float, memory_mb: int, preload: str = "aurl.data.encode"
    ) -> None:
        self.jobs = jobs
        self._folder = folder
        self._seconds = timeout_seconds
        context = multiprocessing.get_context(START_METHOD)
        if START_METHOD == "forkserver":
            context.set_forkserver_preload([preload])
        self._pool = ProcessPool(
            max_workers=jobs, initializer=limit_memory, initargs=(memory_mb * 2**20,), context=context
        )
        self._futures: dict[Any, _Running[Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.stop()
        self._pool.join()

    def run(self, tasks: Sequence[J], work: Work[R], interrupts: Interrupts) -> Iterator[tuple[J, R]]:
        """Do all tasks; results come as they are ready.

        When `interrupts.stop` is set no further task is begun and those that run are finished.

        Raises:
            AurlError: workers keep dying outside any file.
            OSError: a worker could not write its result.
        """
        waiting = [_Running(task) for task in reversed(tasks)]
        self._futures = {}
        while (waiting and interrupts.stop is None) or self._futures:
            while waiting and interrupts.stop is None and len(self._futures) <= self.jobs:
                self._begin(waiting.pop(), work)
            if interrupts.stop is not None:
                self._drop_waiting()
            done, _ = wait(self._futures, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                running = self._futures.pop(future)
                try:
                    yield running.task, future.result()
                except (ProcessExpired, TimeoutError) as error:
                    if interrupts.stop is None:
                        self._blame(running, error)
                        self._begin(running, work)

    def _begin(self, running: _Running[J], work: Work[R]) -> None:
        given = (work, running.task, running.faults, self._mark_path(running.task), self._seconds)
        # A worker ends itself by its alarm clock; this limit is for platforms without one.
        timeout = self._seconds * (len(running.task.sources) + 1)
        self._futures[self._pool.schedule(_perform, args=given, timeout=timeout)] = running

    def _drop_waiting(self) -> None:
        for future in [future for future in self._futures if not future.running() and future.cancel()]:
            del self._futures[future]

    def _mark_path(self, task: Job) -> Path:
        return self._folder / f".{task.name}.{os.getpid()}.tmp"

    def _blame(self, running: _Running[Any], error: ProcessExpired | TimeoutError) -> None:
        """Note which item ended the worker, if any did."""
        index = _read_mark(self._mark_path(running.task))
        fault = _fault(error)
        is_item = 0 <= index < len(running.task.sources) and index not in running.faults
        if fault is not None and is_item:
            running.faults[index] = fault
            return
        running.unexplained += 1
        logger.warning("a worker on %s ended (%s) and is replaced", running.task.name, error)
        if running.unexplained < MAX_UNEXPLAINED:
            return
        if not is_item:
            hint = "raise prepare.memory_mb, or use fewer --jobs"
            raise AurlError(f"workers keep ending outside any file: {error}", hint=hint)
        running.faults[index] = Fault(RejectReason.CRASH, f"its worker was killed {MAX_UNEXPLAINED} times")


def _fault(error: ProcessExpired | TimeoutError) -> Fault | None:
    """What the end of a worker says about the file it was at; None where it was ended from outside."""
    code = error.exitcode if isinstance(error, ProcessExpired) else -signal.SIGALRM
    if code == MEMORY_EXIT:
        return Fault(RejectReason.MEMORY, "took more memory than one file may")
    if code == -signal.SIGALRM:
        return Fault(RejectReason.TIMEOUT, "took longer than one file may")
    if code in (-signal.SIGKILL, -signal.SIGTERM, signal.SIGTERM):
        return None
    return Fault(RejectReason.CRASH, f"ended its worker with {_exit_name(code)}")


def _exit_name(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:
        return f"signal {-code}"

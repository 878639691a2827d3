"""Worker processes that survive any file: a file that hangs, takes too much memory or crashes costs only itself.

A worker marks each file before it opens it, and its own alarm clock and memory limit end it. From the mark and the way
in which the worker ended, the parent knows which file it was and why; the task is then done again without that file.
Results go through the disk, not through the pipe, so that a worker's death can never leave half a message in it.
"""

import logging
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver
from pathlib import Path
from threading import Thread
from typing import Any, Protocol, Self, TypeVar

from pebble import ProcessExpired, ProcessPool

from aurl.data.workers.attempts import MAX_UNEXPLAINED, Attempts, Job
from aurl.data.workers.cluster import ClusterEngine
from aurl.data.workers.limits import limit_memory
from aurl.data.workers.worker import LOST, OUT_OF_TIME, Ended, Work, ending_of, is_at_work, perform, read_mark
from aurl.errors import AurlError
from aurl.progress import Interrupts

START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
"""Workers must not inherit the memory, threads and locks of a parent that may hold torch."""
POLL_SECONDS = 0.1
LOST_SECONDS = 10.0
"""How long nobody may be at a task that was begun: there is a moment before its mark is made and one after."""

logger = logging.getLogger(__name__)
R = TypeVar("R")
J = TypeVar("J", bound=Job)


class Workers(Protocol):
    """What does tasks in other processes, here or elsewhere; used as a context."""

    def __enter__(self) -> Self:
        """Find what is needed."""

    def __exit__(self, *_: object) -> None:
        """Let go of everything."""

    def warm_up(self) -> None:
        """Begin what takes a moment before the first task, without waiting for it."""

    def end(self) -> None:
        """Send the workers away after the last task."""

    def run(self, tasks: Sequence[J], work: Work[R], interrupts: Interrupts) -> Iterator[tuple[J, R]]:
        """Do all tasks; results come as they are ready.

        When `interrupts.stop` is set no further task is begun and those that run are finished.

        Raises:
            AurlError: workers keep dying outside any file, or are out of reach.
            OSError: a worker could not write its result.
        """


def open_engine(
    *, jobs: int, folder: Path, timeout_seconds: float, memory_mb: int, scheduler: str | None = None
) -> Workers:
    """Local worker processes, or with `scheduler` those of a dask cluster, whose number is its own affair.

    Args:
        jobs: local processes.
        folder: where marks may be kept; all workers of a cluster see it under this path.
        timeout_seconds: limit for one file.
        memory_mb: limit in MiB for what a worker takes beyond its start.
        scheduler: address such as `tcp://host:8786`.
    """
    if scheduler is None:
        return Engine(jobs=jobs, folder=folder, timeout_seconds=timeout_seconds, memory_mb=memory_mb)
    return ClusterEngine(scheduler, folder=folder, timeout_seconds=timeout_seconds, memory_mb=memory_mb)


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
        self._memory_bytes = memory_mb * 2**20
        self._context = multiprocessing.get_context(START_METHOD)
        if START_METHOD == "forkserver":
            self._context.set_forkserver_preload([preload, "pebble"])
        self._pool: Any = None
        self._futures: dict[Any, Attempts[Any]] = {}
        self._idle_since: dict[Any, float] = {}
        self._ending: list[Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        for thread in self._ending:
            thread.join()

    def warm_up(self) -> None:
        """Let the process from which workers are forked import what they need while the caller does something else."""
        if START_METHOD == "forkserver":
            forkserver.ensure_running()

    def end(self) -> None:
        """Send the workers away, without waiting until they are gone."""
        if self._pool is not None:
            self._ending.append(Thread(target=_stop, args=(self._pool,)))
            self._ending[-1].start()
            self._pool = None

    def run(self, tasks: Sequence[J], work: Work[R], interrupts: Interrupts) -> Iterator[tuple[J, R]]:
        """Do all tasks, as `Workers.run`."""
        waiting = [Attempts(task) for task in reversed(tasks)]
        error: BrokenProcessPool | None = None
        for _ in range(MAX_UNEXPLAINED):
            if not waiting:
                return
            self._start(min(self.jobs, len(waiting)))
            try:
                yield from self._work_through(waiting, work, interrupts)
            except BrokenProcessPool as broken:
                logger.warning("all workers have ended and are replaced")
                waiting += self._futures.values()
                error = broken
            else:
                return
        hint = 'in a script, call this below: if __name__ == "__main__":'
        raise AurlError("worker processes end as soon as they are started", hint=hint) from error

    def _work_through(self, waiting: list[Attempts[J]], work: Work[R], interrupts: Interrupts) -> Iterator[tuple[J, R]]:
        """Empty `waiting`, as `run`; what is not done when the pool breaks is in `waiting` and `_futures`."""
        self._futures = {}
        while (waiting and interrupts.stop is None) or self._futures:
            while waiting and interrupts.stop is None and len(self._futures) <= self.jobs:
                self._begin(waiting[-1], work)
                waiting.pop()
            if interrupts.stop is not None:
                self._drop_waiting()
            done, _ = wait(self._futures, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in (*done, *self._lost()):
                running = self._futures[future]
                try:
                    result = future.result(timeout=0)
                except (ProcessExpired, TimeoutError, CancelledError) as error:
                    if interrupts.stop is None:
                        running.blame(self._ended(running.task, error))
                        self._begin(running, work)
                    del self._futures[future]
                else:
                    del self._futures[future]
                    yield running.task, result

    def _lost(self) -> list[Any]:
        """Tasks that nobody has been at for a while although they have been begun.

        A worker may be killed after it has taken a task and before pebble has heard so; then pebble never tells.
        """
        now = time.monotonic()
        busy = [future for future in self._futures if future.running()]
        idle = [future for future in busy if not is_at_work(self._mark_path(self._futures[future].task))]
        self._idle_since = {future: self._idle_since.get(future, now) for future in idle}
        lost = [future for future, since in self._idle_since.items() if now - since > LOST_SECONDS]
        for future in lost:
            future.cancel()
        return lost

    def _start(self, workers: int) -> None:
        self.end()
        self._pool = ProcessPool(
            max_workers=workers, initializer=limit_memory, initargs=(self._memory_bytes,), context=self._context
        )

    def _begin(self, running: Attempts[J], work: Work[R]) -> None:
        given = (work, running.task, running.faults, self._mark_path(running.task), self._seconds)
        # A worker ends itself by its alarm clock; this limit is for platforms without one.
        timeout = self._seconds * (len(running.task.sources) + 1)
        try:
            future = self._pool.schedule(perform, args=given, timeout=timeout)
        except RuntimeError as error:  # what pebble says of a pool that broke a moment ago
            raise BrokenProcessPool(str(error)) from error
        self._futures[future] = running

    def _drop_waiting(self) -> None:
        for future in [future for future in self._futures if not future.running() and future.cancel()]:
            del self._futures[future]

    def _mark_path(self, task: Job) -> Path:
        return self._folder / f".{task.name}.{os.getpid()}.tmp"

    def _ended(self, task: Job, error: ProcessExpired | TimeoutError | CancelledError) -> Ended:
        index = read_mark(self._mark_path(task))
        if isinstance(error, CancelledError):
            return Ended(index, LOST)
        return Ended(index, OUT_OF_TIME if isinstance(error, TimeoutError) else ending_of(error.exitcode))


def _stop(pool: ProcessPool) -> None:
    pool.stop()
    pool.join()

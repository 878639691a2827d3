"""The same tasks on a dask.distributed cluster: each in a child process of a dask worker, its shard on a shared folder.

The scheduler gives what a lost worker had to another one. It is told of a few tasks for each thread at a time, so that
neither its memory nor ours grows with their number.
"""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from aurl.data.workers.attempts import Attempts, Job
from aurl.data.workers.child import pack, unpack
from aurl.data.workers.dask_cluster import LOST_WORKER, DaskCluster
from aurl.data.workers.node import Run, check, do_task, stop, versions, warm_up
from aurl.data.workers.worker import LOST, Ended, Work, read_mark
from aurl.errors import AurlError
from aurl.progress import Interrupts
from aurl.storage import write_text

PATIENCE_SECONDS = 30.0
"""How long a cluster may be without any worker."""
WINDOW = 2
"""Tasks in flight for each thread: one that is being done, and one that is at hand when it is finished."""
POLL_SECONDS = 0.01

R = TypeVar("R")
J = TypeVar("J", bound=Job)


class ClusterEngine:
    """Workers of a dask cluster (`aurl.data.workers.engine.Workers`).

    Args:
        scheduler: its address, such as `tcp://host:8786`; certificates for `tls://` are those of dask's own settings.
        folder: where workers may keep their marks; all see it under this path.
        timeout_seconds: limit for one file.
        memory_mb: limit in MiB for what a child takes beyond its start.
        patience_seconds: how long the cluster may be without any worker.
    """

    def __init__(
        self,
        scheduler: str,
        *,
        folder: Path,
        timeout_seconds: float,
        memory_mb: int,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._folder = folder
        self._seconds = timeout_seconds
        self._running: dict[str, Attempts[Any]] = {}
        self._cluster = DaskCluster(scheduler, patience_seconds=patience_seconds)
        token = secrets.token_hex(8)
        self._run = Run(token, str(folder / f".{token}.tmp"), memory_mb * 2**20, versions())

    def __enter__(self) -> Self:
        """Make sure that there are workers, and that all can do what is wanted.

        Raises:
            AurlError: there are none, or one is not fit for the tasks.
        """
        try:
            self._cluster.wait_for_worker()
            write_text(Path(self._run.token_file), self._run.token)
            self._cluster.require(check.__module__)
            self._cluster.tell(check, self._run)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._cluster.close()

    def warm_up(self) -> None:
        """Let the workers start their children while the caller does something else."""
        self._cluster.tell(warm_up, self._run)

    def end(self) -> None:
        """Send the children away; no task is begun after that."""
        with suppress(AurlError):  # children of a worker that is out of reach end with it
            self._cluster.tell(stop, self._run)
        Path(self._run.token_file).unlink(missing_ok=True)

    def run(self, tasks: Sequence[J], work: Work[R], interrupts: Interrupts) -> Iterator[tuple[J, R]]:
        """Do all tasks, as `aurl.data.workers.engine.Workers.run`.

        Raises:
            AurlError: the cluster is lost, or workers keep dying outside any file.
            OSError: a worker could not write its result.
        """
        waiting = [Attempts(task) for task in reversed(tasks)]
        self._running = {}
        stopped = False
        while (waiting and interrupts.stop is None) or self._running:
            threads = self._cluster.threads()
            if interrupts.stop is None:
                while waiting and len(self._running) < WINDOW * threads:
                    self._begin(waiting.pop(), work)
            elif not threads:
                return
            elif not stopped:
                self._cluster.tell(stop, self._run)
                stopped = True
            yield from self._finished(work, interrupts)
            time.sleep(POLL_SECONDS)

    def _begin(self, attempts: Attempts[Any], work: Work[Any]) -> None:
        task, mark = attempts.task, self._mark(attempts.task)
        message = pack(work, task, attempts.faults, mark, self._seconds)
        # A child ends itself by its alarm clock; this limit is for platforms without one.
        seconds = self._seconds * (len(task.sources) + 1)
        key = self._cluster.submit(do_task, self._run, message, str(mark), seconds)
        self._running[key] = attempts

    def _finished(self, work: Work[R], interrupts: Interrupts) -> Iterator[tuple[Any, R]]:
        """Results that have come in; what cost its child is begun again."""
        for key, answer in self._cluster.ready():
            attempts = self._running.pop(key)
            ended = Ended(read_mark(self._mark(attempts.task)), LOST) if answer is LOST_WORKER else answer
            if isinstance(ended, bytes):
                yield attempts.task, unpack(ended)
            elif interrupts.stop is None:
                attempts.blame(ended)
                self._begin(attempts, work)

    def _mark(self, task: Job) -> Path:
        return self._folder / f".{task.name}.{self._run.token}.tmp"

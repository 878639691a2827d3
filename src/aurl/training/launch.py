"""Several training processes on this machine, without a launcher around the command.

The parent starts `python -m aurl.training.worker` once per process and talks with each over its standard streams, one
JSON object per line: stop and save requests down; progress, log lines, the result or an error up. A worker whose parent
is gone ends at once, and when a worker fails its parent ends the others: no process is ever left behind.
"""

import json
import logging
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from aurl.errors import AurlError, ExitCode, UsageError
from aurl.progress import Interrupts, Progress, Report
from aurl.training.hardware import default_threads

logger = logging.getLogger(__name__)
WORKER_MODULE = "aurl.training.worker"
POLL_SECONDS = 0.1
GRACE_SECONDS = 10.0
"""How long the other workers get to end by themselves once one of them has failed, or given the result."""
LOOPBACK = "127.0.0.1"
Message = dict[str, Any]


class WorkerError(AurlError):
    """An error that a worker reported, with the exit code that it has where it came from."""

    def __init__(self, message: str, *, hint: str = "", exit_code: int = ExitCode.FAILURE) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = ExitCode(exit_code)


@dataclass
class Worker:
    """One started process.

    Args:
        rank: which of them.
        process: with pipes for stdin and stdout.
        errors: file that takes its stderr; removed if the worker ends well.
    """

    rank: int
    process: "subprocess.Popen[str]"
    errors: Path

    def send(self, message: Message) -> None:
        """Tell the worker something; one that has just ended need not hear it."""
        pipe = self.process.stdin
        try:
            if pipe is not None:
                pipe.write(json.dumps(message) + "\n")
                pipe.flush()
        except (BrokenPipeError, ValueError):
            logger.debug("worker %d has ended already", self.rank)

    def end(self) -> None:
        """Make sure that it is gone."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        if self.process.returncode == 0 or not self.errors.stat().st_size:
            self.errors.unlink()

    def last_words(self) -> str:
        """The last line that it wrote to stderr, and where the others are."""
        lines = self.errors.read_text(encoding="utf-8", errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return f": {said[-1]} (more in {self.errors})" if said else ""


def launch(
    run_folder: Path,
    processes: int,
    *,
    threads: int | None,
    device: str | None,
    report: Report,
    interrupts: Interrupts,
) -> Message:
    """Train the run in `folder` with several processes.

    Args:
        run_folder: a run that was made or prepared for resuming.
        processes: at least 2.
        threads: torch threads of each.
        device: "cpu" to leave GPUs alone.
        report: told what the main worker reports.
        interrupts: stop and save requests, which all workers are told of.

    Returns:
        What the main worker gave as its result.

    Raises:
        UsageError: there are GPUs, but not one for each process.
        WorkerError: a worker failed.
    """
    if device != "cpu" and 0 < torch.cuda.device_count() < processes:
        raise UsageError(
            f"{processes} processes need as many GPUs; there are {torch.cuda.device_count()}",
            hint="ask for fewer --processes, or for --device cpu",
        )
    task = {"run": str(run_folder), "threads": threads or default_threads(processes), "device": device}
    with _started(processes, task) as workers:
        return _Conversation(workers, report, interrupts).result()


class _Conversation:
    """The parent's side: pass requests down, news up, and watch that everyone is alive."""

    def __init__(self, workers: list[Worker], report: Report, interrupts: Interrupts) -> None:
        self._workers, self._report, self._interrupts = workers, report, interrupts
        self._news: queue.Queue[tuple[int, Message]] = queue.Queue()
        self._told_to_stop = False
        self._result: Message | None = None
        self._errors: dict[int, Message] = {}
        self._readers = [threading.Thread(target=self._read, args=(worker,), daemon=True) for worker in workers]
        for reader in self._readers:
            reader.start()

    def _read(self, worker: Worker) -> None:
        for line in worker.process.stdout or ():
            try:
                self._news.put((worker.rank, json.loads(line)))
            except ValueError:
                logger.warning("worker %d wrote %r", worker.rank, line[:200])

    def result(self) -> Message:
        """Wait for the end."""
        while any(worker.process.poll() is None for worker in self._workers):
            self._pass_requests_on()
            self._hear()
            if self._result is not None or any(worker.process.poll() for worker in self._workers):
                self._end_all()
        for reader in self._readers:
            reader.join()
        self._hear()
        if self._errors or self._result is None:
            raise self._error()
        return self._result

    def _pass_requests_on(self) -> None:
        if self._interrupts.stop is not None and not self._told_to_stop:
            self._told_to_stop = True
            self._tell_all({"stop": self._interrupts.stop})
        if self._interrupts.save:
            self._interrupts.save = False
            self._tell_all({"save": True})

    def _tell_all(self, message: Message) -> None:
        for worker in self._workers:
            worker.send(message)

    def _hear(self) -> None:
        """Take in what has come; waits a moment where nothing has."""
        wait = POLL_SECONDS
        while True:
            try:
                rank, message = self._news.get(timeout=wait)
            except queue.Empty:
                return
            wait = 0.001
            self._take(rank, message)

    def _take(self, rank: int, message: Message) -> None:
        if "progress" in message:
            self._report(Progress(**message["progress"]))
        elif "log" in message:
            name, level, text = message["log"]
            logging.getLogger(name).log(level, "%s", text)
        elif "error" in message:
            self._errors[rank] = message["error"]
        elif "result" in message:
            self._result = message["result"]

    def _end_all(self) -> None:
        """One has failed or all are done: the others, who may wait for it in vain, get a moment, then no more."""
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline and any(worker.process.poll() is None for worker in self._workers):
            self._hear()
        for worker in self._workers:
            worker.process.kill()

    def _error(self) -> WorkerError:
        """The error that came first in rank among those who could tell; else whoever ended badly, with its stderr."""
        for rank in sorted(self._errors):
            error = self._errors[rank]
            return WorkerError(error["message"], hint=error["hint"], exit_code=error["exit_code"])
        failed = min(self._workers, key=lambda worker: worker.process.returncode)
        code = failed.process.returncode
        cause = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return WorkerError(
            f"training process {failed.rank} {cause}{failed.last_words()}",
            hint="go on from the last checkpoint with aurl resume",
        )


@contextmanager
def _started(processes: int, task: Message) -> Iterator[list[Worker]]:
    """Start the workers; whatever happens, none of them is left at the end."""
    workers: list[Worker] = []
    with tempfile.TemporaryDirectory(prefix="aurl-") as meeting:
        try:
            for rank in range(processes):
                workers += [_start(rank, processes, {**task, "meeting": meeting})]
            yield workers
        finally:
            for worker in workers:
                worker.end()


def _start(rank: int, world: int, task: Message) -> Worker:
    errors = Path(task["run"], f"process-{rank}.stderr")
    with errors.open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", WORKER_MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=_environment(rank, world, task["threads"]),
            text=True,
            start_new_session=True,  # Ctrl-C is the parent's to hear; it tells the workers
        )
    worker = Worker(rank, process, errors)
    worker.send(task)
    return worker


def _environment(rank: int, world: int, threads: int) -> Mapping[str, str]:
    own = {
        "OMP_NUM_THREADS": str(threads),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    if interface := _loopback_interface():
        own["GLOO_SOCKET_IFNAME"] = interface
    return {**os.environ, **own}


def _loopback_interface() -> str | None:
    """Gloo would look up the host's name, which need not resolve on a laptop."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(address.family == socket.AF_INET and address.address == LOOPBACK for address in addresses):
            return str(name)
    return None

"""One of several training processes: `python -m aurl.training.worker`, started and spoken to by `launch`."""

import json
import logging
import os
import signal
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import IO, Any

from torch import cuda, distributed

from aurl.errors import AurlError, ExitCode
from aurl.progress import Interrupts, Progress
from aurl.training.processes import environment_rank, environment_world
from aurl.training.run import Run
from aurl.training.sitting import train_here

REPORT_SECONDS = 0.2
"""The parent need not be told of every step."""
RENDEZVOUS_NAME = "rendezvous"


class Parent:
    """The worker's side of the conversation.

    Args:
        requests: what the parent sends.
        news: what it is told.
    """

    def __init__(self, requests: IO[str], news: IO[str]) -> None:
        self.interrupts = Interrupts()
        self._requests, self._news = requests, news
        self._reported = 0.0
        self._writing = threading.Lock()

    def task(self) -> dict[str, Any]:
        """The first line."""
        return dict(json.loads(self._requests.readline()))

    def listen(self) -> None:
        """Hear requests from now on; when the parent is gone, this process ends."""
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self._requests:
            request = json.loads(line)
            self.interrupts.stop = request.get("stop", self.interrupts.stop)
            self.interrupts.save = request.get("save", self.interrupts.save)
        os._exit(ExitCode.FAILURE)

    def tell(self, **message: Any) -> None:
        """Send one message."""
        with self._writing:
            self._news.write(json.dumps(message) + "\n")
            self._news.flush()

    def report(self, progress: Progress) -> None:
        """Pass progress on, now and then."""
        now = time.monotonic()
        if now - self._reported >= REPORT_SECONDS or progress.done == progress.total:
            self._reported = now
            self.tell(progress=asdict(progress))


class ParentHandler(logging.Handler):
    """Sends log records to the parent, whose business the terminal is."""

    def __init__(self, parent: Parent) -> None:
        super().__init__(logging.INFO)
        self._parent = parent

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        self._parent.tell(log=[record.name, record.levelno, record.getMessage()])


def main() -> None:
    """Train what the parent says, tell it of everything, and end.

    An error that aurl knows is told; any other ends the process with its traceback on stderr, which the parent keeps.
    """
    parent = _connect()
    task = parent.task()
    parent.listen()
    try:
        result = _work(task, parent)
    except AurlError as error:
        parent.tell(error={"message": error.message, "hint": error.hint, "exit_code": int(error.exit_code)})
        os._exit(error.exit_code)  # the others may be waiting in a collective call that would hold up a normal exit
    parent.tell(result=result)


def _connect() -> Parent:
    """Keep stdout for the conversation: whatever else is printed goes to stderr."""
    news = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return Parent(sys.stdin, news)


def _work(task: dict[str, Any], parent: Parent) -> dict[str, Any]:
    def stop(number: int, frame: FrameType | None) -> None:
        parent.interrupts.stop = number

    signal.signal(signal.SIGTERM, stop)
    rank, world = environment_rank(), environment_world()
    if rank == 0:
        logging.getLogger("aurl").addHandler(ParentHandler(parent))
    on_gpu = cuda.is_available() and task["device"] != "cpu"
    # A file as meeting point needs no free port and no name that resolves.
    meeting = str(Path(task["meeting"], RENDEZVOUS_NAME))
    store = distributed.FileStore(meeting, world)  # type: ignore[attr-defined]
    distributed.init_process_group("nccl" if on_gpu else "gloo", store=store, rank=rank, world_size=world)
    try:
        result = train_here(
            Run(Path(task["run"])),
            threads=task["threads"],
            device=task["device"],
            report=parent.report,
            interrupts=parent.interrupts,
        )
    finally:
        distributed.destroy_process_group()
    return result.to_json()


if __name__ == "__main__":
    main()

"""One worker process on a pipe, for a parent that multiprocessing allows no children, such as a dask worker.

It does one task after the other, is limited as every worker, and ends when its input does: it never outlives its
parent, not even in the middle of a task.
"""

import logging
import os
import pickle
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from queue import Empty, SimpleQueue
from threading import Thread, Timer
from typing import IO, Any, BinaryIO, cast

from aurl.data.workers.limits import limit_memory
from aurl.data.workers.worker import OUT_OF_TIME, ending_of, perform

PRELOAD = "aurl.data.encode"
"""What nearly every task needs is no part of a file's memory."""
IDLE_SECONDS = 600.0
"""After so long without a task a child ends: whoever sent the last one may have been killed."""


logger = logging.getLogger(__name__)


class Child:
    """A worker process, seen from its parent.

    Args:
        memory_bytes: what it may take beyond its start.
        idle_seconds: how long it waits for a task before it ends.
    """

    def __init__(self, memory_bytes: int, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._expired = False
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-P", "-m", __name__, str(memory_bytes), str(idle_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            start_new_session=True,  # what a terminal sends to the parent is not for its children
        )
        self._stdin = cast("IO[bytes]", self._process.stdin)
        self._stdout = cast("IO[bytes]", self._process.stdout)

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def do(self, message: bytes, seconds: float) -> bytes | str:
        """Have it do what `pack` has packed, in at most `seconds`.

        Returns:
            What is for `unpack`; where the process ended instead, how: the name of a signal, or an exit code.
        """
        clock = Timer(seconds, self._expire)
        clock.start()
        try:
            return self._ask(message)
        except (OSError, EOFError, pickle.UnpicklingError):
            exit_code = self._process.wait()
            return OUT_OF_TIME if self._expired else ending_of(exit_code)
        finally:
            clock.cancel()

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        with suppress(OSError):  # what it was never sent is still there to be flushed
            self._stdin.close()
        self._stdout.close()

    def _expire(self) -> None:
        self._expired = True
        self._process.kill()

    def _ask(self, message: bytes) -> bytes:
        pickle.dump(message, self._stdin)
        self._stdin.flush()
        answer: bytes = pickle.load(self._stdout)  # noqa: S301 - written by our own child
        return answer


def pack(*call: Any) -> bytes:
    """The arguments of `aurl.data.workers.worker.perform` as bytes."""
    return pickle.dumps(call)


def unpack(answer: bytes) -> Any:
    """The result of a task; what it raised is raised here."""
    done, value = pickle.loads(answer)  # noqa: S301 - written by our own worker
    if done:
        return value
    raise value


def serve(source: BinaryIO, sink: BinaryIO, *, idle_seconds: float = IDLE_SECONDS) -> None:
    """In the child: do what comes from `source` and answer to `sink`, until `source` ends."""
    messages: SimpleQueue[bytes | None] = SimpleQueue()
    # Not the other way round: this thread must see the end of the parent while a task is being done.
    Thread(target=_work, args=(messages, sink, idle_seconds), daemon=True).start()
    with suppress(EOFError):
        while True:
            messages.put(pickle.load(source))  # noqa: S301 - written by our own parent
    messages.put(None)


def _work(messages: "SimpleQueue[bytes | None]", sink: BinaryIO, idle_seconds: float) -> None:
    try:
        while message := messages.get(timeout=idle_seconds):
            pickle.dump(_answer(message), sink)
            sink.flush()
    except Empty:
        os._exit(0)
    except Exception:
        logger.exception("a worker cannot answer")
        os._exit(1)


def _answer(message: bytes) -> bytes:
    try:
        call = pickle.loads(message)  # noqa: S301 - written by our own parent
        return pickle.dumps((True, perform(*call)))
    except Exception as error:  # noqa: BLE001 - it is raised again where the task came from
        return pickle.dumps((False, error))


def main(memory_bytes: int, idle_seconds: float) -> None:
    """Serve the parent through the standard streams; what libraries print goes to the parent's log."""
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    import_module(PRELOAD)
    limit_memory(memory_bytes)
    serve(sys.stdin.buffer, sink, idle_seconds=idle_seconds)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))

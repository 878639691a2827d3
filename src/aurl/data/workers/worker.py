"""What runs in a worker process, and what its end says about the file that it was at."""

import os
import signal
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import psutil

from aurl.midi.reasons import RejectReason

MEMORY_EXIT = 77
"""Exit code of a worker that ran into its memory limit: it does not go on with what is left of its heap."""
NO_FILE = -1
NO_PROCESS = 2**31 - 1
"""More than any system numbers its processes."""
OUT_OF_TIME = "SIGALRM"
"""How an item ends its worker that takes too long."""
LOST = "its machine was lost"
FROM_OUTSIDE = ("SIGKILL", "SIGTERM", str(int(signal.SIGTERM)), LOST)
"""Ends that no file brings about; pebble's workers turn SIGTERM into an exit code."""
_MARK = struct.Struct("<qq")
"""Index of the item, and the worker's process."""

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a file could not be finished."""

    reason: RejectReason
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker that did not come back from its task.

    Args:
        index: of the item that it was at; `NO_FILE`: none.
        ending: name of the signal that ended it, or its exit code.
    """

    index: int
    ending: str


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
    """Which item a worker is at, on disk until it has done its task, and its alarm clock.

    Args:
        path: file that holds the index and the worker's process.
        seconds: how long one item may take.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self._file = path.open("wb", buffering=0)
        self(NO_FILE)

    def __call__(self, index: int) -> None:
        """Say that `index` is begun; `NO_FILE` stops the clock."""
        self._file.seek(0)
        self._file.write(_MARK.pack(index, os.getpid()))
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0 if index == NO_FILE else self._seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self(NO_FILE)
        self._file.close()
        self._path.unlink(missing_ok=True)


def read_mark(path: Path) -> int:
    """The index that a worker left, `NO_FILE` if there is none."""
    return _read(path)[0]


def is_at_work(path: Path) -> bool:
    """Whether a process of this machine is at the task whose mark is at `path`."""
    try:
        return bool(psutil.Process(_read(path)[1]).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _read(path: Path) -> tuple[int, int]:
    try:
        index, process = _MARK.unpack(path.read_bytes())
    except (OSError, struct.error):
        return NO_FILE, NO_PROCESS
    return index, process


def perform(work: Work[R], task: Any, faults: Mapping[int, Fault], path: Path, seconds: float) -> R:
    """In the worker: do the task, or end at once when memory runs out."""
    with Mark(path, seconds) as mark:
        try:
            return work(task, faults, mark)
        except MemoryError:
            os._exit(MEMORY_EXIT)


def ending_of(exit_code: int) -> str:
    """Name of the signal, or the exit code."""
    try:
        return signal.Signals(-exit_code).name if exit_code < 0 else str(exit_code)
    except ValueError:
        return str(exit_code)


def fault_of(ending: str) -> Fault | None:
    """What the end of a worker says about the file it was at; None where it was ended from outside."""
    if ending == str(MEMORY_EXIT):
        return Fault(RejectReason.MEMORY, "took more memory than one file may")
    if ending == OUT_OF_TIME:
        return Fault(RejectReason.TIMEOUT, "took longer than one file may")
    if ending in FROM_OUTSIDE:
        return None
    return Fault(RejectReason.CRASH, f"ended its worker with {ending}")

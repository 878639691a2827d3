"""Work for the engine that harms its worker in every way that a file could."""

import ctypes
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aurl.data.workers.worker import NO_FILE, Fault, Mark


@dataclass(frozen=True)
class Errand:
    """A task: each source is what is to happen."""

    name: str
    sources: tuple[str, ...]
    folder: str


def suffer(task: Errand, faults: Mapping[int, Fault], mark: Mark) -> dict[int, str]:
    """What became of each item: "done", or the reason for which it was left out."""
    done = {}
    for index, kind in enumerate(task.sources):
        if index in faults:
            done[index] = str(faults[index].reason)
            continue
        mark(index)
        HARM[kind](task, index)
        done[index] = "done"
    mark(NO_FILE)
    return done


def die_outside_any_file(task: Errand, faults: Mapping[int, Fault], mark: Mark) -> None:
    """A worker that ends before its first item, every time."""
    os._exit(3)


def full_disk(task: Errand, faults: Mapping[int, Fault], mark: Mark) -> None:
    raise OSError(28, "No space left on device")


def sleep_unmarked(task: Errand, faults: Mapping[int, Fault], mark: Mark) -> None:
    """Work that never says where it is, so that no alarm clock is set."""
    time.sleep(600)


def vanish_once(task: Errand, faults: Mapping[int, Fault], mark: Mark) -> str:
    """The first time nobody is at the task any more, and nobody says so."""
    once = Path(task.folder, f"{task.name}-vanished")
    if not once.exists():
        once.touch()
        mark._path.unlink()
        time.sleep(600)
    return "done"


def raise_unsendable(task: Errand, faults: Mapping[int, Fault], mark: Mark) -> None:
    raise ValueError(lambda: "a function without a name cannot be pickled")


def _nothing(task: Errand, index: int) -> None:
    """A harmless file."""


def _crash(task: Errand, index: int) -> None:
    ctypes.string_at(0)


def _hang(task: Errand, index: int) -> None:
    time.sleep(600)


def _hang_in_c(task: Errand, index: int) -> None:
    """Hold the interpreter lock for minutes, as a parser that loops would."""
    sum(range(10**12))


def _bomb(task: Errand, index: int) -> None:
    """Ask for 256 MB, untouched: only a limit on this process can refuse them."""
    np.empty(2**25)


def _killed_once(task: Errand, index: int) -> None:
    """Killed from outside, as by the system, but only the first time."""
    once = Path(task.folder, f"{task.name}-{index}")
    if not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def _killed(task: Errand, index: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _host_killed_once(task: Errand, index: int) -> None:
    """The process that started this one is killed, as when a machine of a cluster is lost."""
    once = Path(task.folder, f"{task.name}-{index}")
    if not once.exists():
        once.touch()
        _host_killed(task, index)


def _host_killed(task: Errand, index: int) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)


HARM = {
    "fine": _nothing,
    "crash": _crash,
    "hang": _hang,
    "hang in C": _hang_in_c,
    "bomb": _bomb,
    "killed once": _killed_once,
    "killed": _killed,
    "host killed once": _host_killed_once,
    "host killed": _host_killed,
    "print": lambda task, index: os.write(1, b"a library prints this\n"),
    "quit": lambda task, index: os._exit(5),
}

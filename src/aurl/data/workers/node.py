"""What runs inside a dask worker: tasks are handed to child processes, so that no file can harm the worker itself."""

import socket
from collections import defaultdict
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from platform import python_version_tuple
from typing import Any

import aurl
from aurl.data.workers.child import Child
from aurl.data.workers.worker import NO_FILE, Ended, read_mark
from aurl.errors import AurlError

LIBRARIES = ("distributed", "symusic", "music21")
"""What must be the same everywhere: the protocol, and what decides which notes a file has."""
NOT_BEGUN = Ended(NO_FILE, "its run was stopped")

_idle: defaultdict[int, list[Child]] = defaultdict(list)
"""Memory limit → children without work; lists are safe between threads."""
_stopped: set[str] = set()
_checked: set[str] = set()


@dataclass(frozen=True, slots=True)
class Run:
    """One engine's run, as workers know it.

    Args:
        token: unlike that of any other run.
        token_file: a file that holds the token, in the folder that all must see.
        memory_bytes: limit for what a child takes beyond its start.
        versions: what must be the same everywhere.
    """

    token: str
    token_file: str
    memory_bytes: int
    versions: dict[str, str]


def versions() -> dict[str, str]:
    """Versions of what has a say in how tasks are sent and done."""
    python = ".".join(python_version_tuple()[:2])
    return {"aurl": aurl.__version__, "Python": python, **{name: version(name) for name in LIBRARIES}}


def check(run: Run) -> None:
    """Make sure that this worker can do the run's tasks as every other.

    Raises:
        AurlError: another version of something is installed, or the folder is not there.
    """
    host, here = socket.gethostname(), versions()
    for name, wanted in run.versions.items():
        if here[name] != wanted:
            message = f"a dask worker on {host} has {name} {here[name]}, where {wanted} is needed"
            raise AurlError(message, hint="install the same versions for all workers, and start them again")
    path = Path(run.token_file)
    try:
        found = path.read_text(encoding="utf-8")
    except OSError as error:
        found = error.strerror or str(error)
    if found != run.token:
        message = f"a dask worker on {host} does not see {path.parent}: {found}"
        raise AurlError(message, hint="keep data set and music in folders that all have under the same path")
    _checked.add(run.token)


def warm_up(run: Run, dask_worker: Any) -> None:
    """Start as many children as this worker has threads, without waiting for them."""
    idle = _idle[run.memory_bytes]
    while len(idle) < dask_worker.state.nthreads:
        idle.append(Child(run.memory_bytes))


def do_task(run: Run, message: bytes, mark: str, seconds: float) -> bytes | Ended:
    """Do one task in a child.

    Args:
        run: that it belongs to.
        message: by `aurl.data.workers.child.pack`.
        mark: file in which the child says at which item it is.
        seconds: for the whole task; the child's own clock watches over each item.

    Returns:
        What is for `aurl.data.workers.child.unpack`, or how the child ended.
    """
    if run.token in _stopped:
        return NOT_BEGUN
    if run.token not in _checked:
        check(run)
    child = _take(run.memory_bytes)
    answer = child.do(message, seconds)
    if isinstance(answer, str):
        child.end()
        return Ended(read_mark(Path(mark)), answer)
    _idle[run.memory_bytes].append(child)
    if run.token in _stopped:
        _end_idle(run.memory_bytes)
    return answer


def stop(run: Run) -> None:
    """Begin no further task of the run and send idle children away; what runs is finished."""
    _stopped.add(run.token)
    _end_idle(run.memory_bytes)


def _take(memory_bytes: int) -> Child:
    """An idle child, or else a new one."""
    while child := _pop(memory_bytes):
        if child.alive:
            return child
        child.end()
    return Child(memory_bytes)


def _end_idle(memory_bytes: int) -> None:
    while child := _pop(memory_bytes):
        child.end()


def _pop(memory_bytes: int) -> Child | None:
    try:
        return _idle[memory_bytes].pop()
    except IndexError:
        return None

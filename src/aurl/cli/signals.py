"""Signals as wishes that long tasks look at: finish, or save now."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from aurl.errors import ExitCode
from aurl.progress import Interrupts

STOPPING = (signal.SIGINT, signal.SIGTERM)
SIGNAL_EXIT_BASE = 128
LAUNCHER_GRACE_SECONDS = 2.0
"""A launcher passes on the signal that its whole process group got already: within this time it is the same one."""


def exit_code(signal_number: int) -> ExitCode:
    """What the shell is told: 130 for SIGINT, 143 for SIGTERM."""
    return ExitCode(SIGNAL_EXIT_BASE + signal_number)


@contextmanager
def listening(tell: Callable[[str], None]) -> Iterator[Interrupts]:
    """Turn the first SIGINT or SIGTERM into `stop` and SIGUSR1 into `save`; the second of the former exits at once.

    Args:
        tell: where to say what was understood.
    """
    interrupts, owner, first_at = Interrupts(), os.getpid(), 0.0
    grace = LAUNCHER_GRACE_SECONDS if "RANK" in os.environ else 0.0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal first_at
        if os.getpid() != owner:
            _stop_child(number)
        elif interrupts.stop is None:
            interrupts.stop, first_at = number, time.monotonic()
            tell("stopping after this step; press again to stop at once")
        elif time.monotonic() - first_at >= grace:
            os._exit(SIGNAL_EXIT_BASE + number)

    def save(number: int, frame: FrameType | None) -> None:
        interrupts.save = True

    handlers = dict.fromkeys(STOPPING, stop) | ({signal.SIGUSR1: save} if hasattr(signal, "SIGUSR1") else {})
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield interrupts
    finally:
        # A process that was asked to stop is on its way out: what comes until then is still a second signal.
        if interrupts.stop is None:
            for number, handler in before.items():
                signal.signal(number, handler)


def _stop_child(number: int) -> None:
    """A forked worker inherits the handler: its parent sees to Ctrl-C, anything else ends it."""
    if number != signal.SIGINT:
        os._exit(SIGNAL_EXIT_BASE + number)


def exit_on_terminate() -> None:
    """Let SIGTERM unwind the stack, so that commands which do not listen still clean up behind themselves."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(SIGNAL_EXIT_BASE + number))

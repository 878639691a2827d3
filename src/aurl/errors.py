"""The few kinds of failure that aurl knows, each with its documented exit code."""

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells the shell; documented in the README."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    SOME_REJECTED = 3
    NOT_FOUND = 10
    LOCKED = 11
    DAMAGED = 12
    INTERRUPTED = 130
    TERMINATED = 143


class AurlError(Exception):
    """A failure that the user can act on.

    Args:
        message: one line that names the file or key and the fault.
        hint: the next step, shown after the message.
    """

    exit_code = ExitCode.FAILURE

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(AurlError):
    """A wrong option, argument or combination of them."""

    exit_code = ExitCode.USAGE


class NotFoundError(AurlError):
    """A file, data set, run or profile that does not exist."""

    exit_code = ExitCode.NOT_FOUND


class LockedError(AurlError):
    """Another process is writing to the same data set, run or cache."""

    exit_code = ExitCode.LOCKED


class DamagedError(AurlError):
    """Stored data that does not match its checksum or its schema."""

    exit_code = ExitCode.DAMAGED


def did_you_mean(wanted: str, known: Iterable[str]) -> str:
    """The known name that is most like `wanted`, as a question; empty where none is."""
    near = difflib.get_close_matches(wanted, list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""

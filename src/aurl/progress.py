"""How the library tells of its progress, and how it is asked to stop; no terminal is known here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a long task.

    Args:
        task: what is being done, in a word or two ("prepare", "train").
        done: units finished.
        total: units in all, None where the end is not known.
        unit: what is counted ("files", "steps", "tokens").
        note: what a person would like to see beside the bar, already formatted.
        seconds_left: where the task knows better than its pace tells.
        metrics: the newest of each number that the task measures, by its name in the log.
    """

    task: str
    done: int
    total: int | None = None
    unit: str = ""
    note: str = ""
    seconds_left: float | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Report to nobody."""


class Interrupts:
    """What signals have asked for; long tasks look at it between two steps.

    Attributes:
        stop: the signal number that asked to finish, or None.
        save: a checkpoint is wanted now; whoever saves it sets this back to False.
    """

    def __init__(self) -> None:
        self.stop: int | None = None
        self.save = False

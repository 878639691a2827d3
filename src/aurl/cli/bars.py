"""Progress as bars on a terminal, or as a line now and then where there is none."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aurl.progress import Progress, Report

SECONDS_BETWEEN_LINES, LONGEST_BETWEEN_LINES = 5.0, 600.0
SHARE_BETWEEN_LINES = 0.05
"""Of what a task has taken so far: a night's training is some two hundred lines, and none is older than a twentieth."""
MINUTE, HOUR = 60, 3600


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE:02} s"
    return f"{whole // HOUR} h {whole % HOUR // MINUTE:02} min"


@dataclass(slots=True)
class _Shown:
    """When a task was first and last told of, and what was done at first."""

    began: float
    first_done: int
    told: float

    def left(self, progress: Progress, now: float) -> float | None:
        """Seconds to the end: what the task says, or what its pace tells; None where neither is known."""
        if progress.seconds_left is not None or progress.total is None:
            return progress.seconds_left
        done, rest = progress.done - self.first_done, progress.total - progress.done
        return rest * (now - self.began) / done if done else None


def lines(write: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> Report:
    """A report that writes a line for a task now and then, more seldom the longer it takes, and one when it is done."""
    tasks: dict[str, _Shown] = {}

    def report(progress: Progress) -> None:
        now = clock()
        shown = tasks.setdefault(progress.task, _Shown(now, progress.done, now))
        finished = progress.total is not None and progress.done >= progress.total
        share = SHARE_BETWEEN_LINES * (now - shown.began)
        if finished or now - shown.told >= min(max(SECONDS_BETWEEN_LINES, share), LONGEST_BETWEEN_LINES):
            shown.told = now
            write(_line(progress, shown.left(progress, now)))
        if finished:
            del tasks[progress.task]

    return report


def _line(progress: Progress, left: float | None) -> str:
    total = "" if progress.total is None else f"/{progress.total:,}"
    parts = [f"{progress.task}: {progress.done:,}{total} {progress.unit}".rstrip()]
    if left:
        parts.append(f"{duration(left)} left")
    if progress.note:
        parts.append(progress.note)
    return " · ".join(parts)


@contextmanager
def bars() -> Iterator[tuple[Report, Callable[[str], None]]]:
    """A report that draws a bar for each task, and a function that writes a line above them; both on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Drawing

    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Drawing(*columns, console=console) as drawing:
        tasks: dict[str, tuple[TaskID, _Shown]] = {}

        def report(progress: Progress) -> None:
            now = time.monotonic()
            if progress.task not in tasks:
                task = drawing.add_task(progress.task, unit=progress.unit, note="", left="")
                tasks[progress.task] = task, _Shown(now, progress.done, now)
            task, shown = tasks[progress.task]
            left = shown.left(progress, now)
            told = f"{duration(left)} left" if left else ""
            drawing.update(task, completed=progress.done, total=progress.total, note=progress.note, left=told)

        yield report, console.print

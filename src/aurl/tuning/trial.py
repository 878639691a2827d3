"""One trial: a run like any other, that is watched while it trains and may be ended early."""

import json
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aurl.errors import AurlError, LockedError, NotFoundError, UsageError
from aurl.home import RUN_MARK
from aurl.profile import Profile
from aurl.progress import Interrupts, Progress, Report
from aurl.storage import lock
from aurl.training.log import read_metrics
from aurl.training.run import Run
from aurl.training.trainer import fit, resume
from aurl.tuning.plan import Direction

State = Literal["complete", "pruned", "failed", "stopped"]
PRUNED = "pruned"
"""Why a run ended, as `run.json` tells it."""
GRACE_SECONDS = 10.0
"""Processes of a study that was killed need a moment to notice."""


@dataclass(frozen=True)
class Outcome:
    """How a trial went.

    Args:
        state: "stopped" is no end: it is gone on with another time.
        value: the best of its validations, None where there was none.
        reason: why it failed.
    """

    state: State
    value: float | None = None
    reason: str = ""


class Watch:
    """Reads what a run logs while it trains, and asks it to stop when it is not worth its time, or time is up.

    Args:
        run: that trains.
        metric: name of the number.
        judge: told (step, value) of each validation; whether the run should go on no longer.
        interrupts: of the whole study.
        deadline: by the monotonic clock; None: none.
        report: what the run reports is passed on to it.
    """

    def __init__(
        self,
        run: Run,
        metric: str,
        judge: Callable[[int, float], bool],
        interrupts: Interrupts,
        deadline: float | None,
        report: Report,
    ) -> None:
        self.own = Interrupts()
        self.is_pruned = False
        self._run, self._metric, self._judge = run, metric, judge
        self._outer, self._deadline, self._report = interrupts, deadline, report
        self._size = 0
        self._told: set[int] = set()

    def __call__(self, progress: Progress) -> None:
        """After each step."""
        self.listen()
        late = self._deadline is not None and time.monotonic() >= self._deadline
        if self._outer.stop is not None:
            self.own.stop = self._outer.stop
        elif late or self.is_pruned:
            self.own.stop = signal.SIGTERM
        self._report(progress)

    def listen(self) -> None:
        """Look at what has been logged since the last time."""
        path = self._run.metrics
        size = path.stat().st_size if path.exists() else 0
        if size == self._size:
            return
        self._size = size
        for step, value in values_of(path, self._metric):
            if step not in self._told:
                self._told.add(step)
                self.is_pruned = self._judge(step, value) or self.is_pruned


def values_of(path: Path, metric: str) -> list[tuple[int, float]]:
    """(step, value) of a number that a run has logged, where it was one."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", errors="replace") as file:
        found = [json.loads(line) for line in file if f'"{metric}": ' in line and line.endswith("\n")]
    return [(record["step"], record[metric]) for record in found if record[metric] is not None]


def run_trial(
    profile: Profile,
    dataset: Path,
    folder: Path,
    watch: Watch,
    *,
    direction: Direction,
    metric: str,
    threads: int | None,
    device: str | None,
) -> Outcome:
    """Train a trial's run, or go on with it where it was left.

    Args:
        profile: of the run.
        dataset: that it learns from.
        folder: of the run.
        watch: made for this run.
        direction: whether less or more is better.
        metric: what of.
        threads: of torch.
        device: where to compute.

    Raises:
        UsageError: the run logs no such number.
        NotFoundError: the data set is gone.
        LockedError: another process trains the run.
    """
    options: dict[str, Any] = {"threads": threads, "device": device, "report": watch, "interrupts": watch.own}
    try:
        if (folder / RUN_MARK).is_file():
            _wait_until_free(folder)
            result = resume(folder, **options)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            result = fit(profile, dataset, folder, **options)
    except (NotFoundError, LockedError):
        raise
    except (AurlError, RuntimeError, MemoryError, ArithmeticError) as error:
        return Outcome("failed", reason=_told(error))
    watch.listen()
    best = best_of([value for _, value in values_of(Run(folder).metrics, metric)], direction)
    if result.interrupted and watch.is_pruned:
        Run(folder).update(status="finished", reason=PRUNED)
        return Outcome("pruned", best)
    if result.interrupted:
        return Outcome("stopped", best)
    if best is None:
        raise UsageError(f"no number called {metric} is logged", hint=f"there are: {', '.join(_known(folder))}")
    return Outcome("complete", best)


def _told(error: Exception) -> str:
    """An error in one line."""
    first = str(error).partition("\n")[0]
    return first if isinstance(error, AurlError) else f"{type(error).__name__}: {first}"


def best_of(values: Sequence[float], direction: Direction) -> float | None:
    """The best of some values, None of none."""
    return (min if direction == "minimize" else max)(values, default=None)


def _known(folder: Path) -> list[str]:
    names = {name for record in read_metrics(Run(folder).metrics) for name in record}
    return sorted(name for name in names if "/" in name)


def _wait_until_free(folder: Path) -> None:
    deadline = time.monotonic() + GRACE_SECONDS
    while True:
        try:
            with lock(Run(folder).lock):
                return
        except LockedError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.1)

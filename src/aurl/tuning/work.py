"""Trials one after the other in this process, until a bound or a signal."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from optuna import Trial
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from aurl.errors import AurlError
from aurl.progress import Interrupts, Progress, Report
from aurl.training.run import Run
from aurl.tuning.ledger import REASON, Ledger
from aurl.tuning.trial import Outcome, Watch, run_trial

logger = logging.getLogger(__name__)
HOPELESS = 5
"""Trials that fail before any other is through: the next one would fail, too."""
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class End(StrEnum):
    """Why a sitting of a study ended."""

    TRIALS = "trials"
    MAX_MINUTES = "max_minutes"
    SIGNAL = "signal"


@dataclass(frozen=True)
class Limits:
    """Where a sitting ends.

    Args:
        trials: of the study in all, over all sittings.
        deadline: by the monotonic clock; None: none.
        threads: of torch in this process.
        device: where to compute.
    """

    trials: int
    deadline: float | None = None
    threads: int | None = None
    device: str | None = None


def work(ledger: Ledger, limits: Limits, begun: Sequence[int], report: Report, interrupts: Interrupts) -> End:
    """Run trials: first those that were begun before, then new ones.

    Args:
        ledger: of the study.
        limits: where to end.
        begun: numbers of the trials to go on with.
        report: told of each trial's steps.
        interrupts: looked at between steps.

    Raises:
        AurlError: all trials fail.
        UsageError: the number that is compared is not logged.
    """
    for trial in _trials(ledger, limits, begun):
        if (reason := _asked(limits, interrupts)) is not None:
            return reason
        outcome = _run(ledger, trial, limits, report, interrupts)
        if outcome.state == "stopped":
            return _asked(limits, interrupts) or End.SIGNAL
        settle(ledger, trial, outcome)
        _check_hope(ledger)
    return End.TRIALS


def _trials(ledger: Ledger, limits: Limits, begun: Sequence[int]) -> Iterator[Trial]:
    yield from map(ledger.again, begun)
    while (trial := ledger.ask(limits.trials)) is not None:
        yield trial


def _asked(limits: Limits, interrupts: Interrupts) -> End | None:
    if interrupts.stop is not None:
        return End.SIGNAL
    late = limits.deadline is not None and time.monotonic() >= limits.deadline
    return End.MAX_MINUTES if late else None


def _run(ledger: Ledger, trial: Trial, limits: Limits, report: Report, interrupts: Interrupts) -> Outcome:
    values = ledger.space.suggest(trial)
    folder = ledger.run_of(trial.number)
    try:
        profile = ledger.space.profile(values)
    except AurlError as error:
        return Outcome("failed", reason=error.message)
    metric, plan = ledger.plan.metric_of(profile), ledger.plan

    known = ledger.trials()[trial.number].intermediate_values

    def judge(step: int, value: float) -> bool:
        if step not in known:  # of an earlier sitting
            with suppress(UpdateFinishedTrialError):  # see `settle`
                trial.report(value, step)
        return trial.should_prune()

    def tell(progress: Progress) -> None:
        note = f"#{trial.number} {progress.note}"
        report(Progress("trial", progress.done, progress.total, progress.unit, note, progress.seconds_left))

    logger.info("trial %d: %s", trial.number, described(values))
    watch = Watch(Run(folder), metric, judge, interrupts, limits.deadline, tell)
    return run_trial(
        profile,
        Path(plan.dataset),
        folder,
        watch,
        direction=plan.direction,
        metric=metric,
        threads=limits.threads,
        device=limits.device,
    )


def settle(ledger: Ledger, trial: Trial, outcome: Outcome) -> None:
    """Write down how a trial went.

    A process of an earlier sitting that was slow to end may have done so meanwhile; the run is the same.
    """
    state = STATES[outcome.state]
    with suppress(UpdateFinishedTrialError):
        if outcome.reason:
            trial.set_user_attr(REASON, outcome.reason)
    value = outcome.value if state is TrialState.COMPLETE else None
    ledger.study.tell(trial, value, state, skip_if_finished=True)
    logger.info("trial %d %s: %s", trial.number, outcome.state, outcome.reason or outcome.value)


def _check_hope(ledger: Ledger) -> None:
    over = [trial for trial in ledger.trials() if trial.state.is_finished()]
    if len(over) >= HOPELESS and all(trial.state is TrialState.FAIL for trial in over):
        raise AurlError(
            f"all of the first {len(over)} trials failed, the last because: {over[-1].user_attrs.get(REASON)}",
            hint="mend that, or search somewhere else under another --name",
        )


def described(values: dict[str, Any]) -> str:
    """`key value, key value…`."""
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()
    )

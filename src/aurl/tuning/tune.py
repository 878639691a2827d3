"""Begin a study, or go on with one."""

import time
from collections.abc import Sequence
from pathlib import Path

from aurl.data.dataset import open_dataset
from aurl.errors import UsageError
from aurl.home import STUDY_MARK
from aurl.profile import Profile
from aurl.progress import Interrupts, Report, silent
from aurl.storage import lock
from aurl.tuning.jobs import work_in_jobs
from aurl.tuning.ledger import Ledger
from aurl.tuning.plan import Plan
from aurl.tuning.result import StudyResult, conclude
from aurl.tuning.sampling import quiet
from aurl.tuning.work import End, Limits, work

LOCK_NAME = ".lock"
SECONDS_PER_MINUTE = 60.0
DEFAULT_TRIALS = 20


def begin(folder: Path, plan: Plan, base: Profile) -> None:
    """Make a study's folder, or see that it is there and about the same.

    Raises:
        ProfileError: something that is searched cannot be.
        UsageError: the study is about something else, or there is nothing to validate on.
    """
    plan.space(base)
    if (folder / STUDY_MARK).is_file():
        known, known_base = Plan.read(folder)
        known.check_same(plan, folder.name)
        if known_base != base:
            changed = [key for key, value in base.values().items() if known_base.values().get(key) != value]
            raise UsageError(
                f"the study {folder.name} was begun with another {changed[0] if changed else 'profile'}",
                hint=f"go on with it as it is (aurl tune --name {folder.name}), or choose another --name",
            )
        return
    if plan.metric_of(base).startswith("valid/") and not open_dataset(Path(plan.dataset)).splits["valid"].pieces:
        raise UsageError(f"the valid split of {plan.dataset} is empty", hint="prepare one that has valid pieces")
    if plan.pruner == "hyperband" and base.training.max_steps is None:
        raise UsageError(
            "Hyperband must know how long a trial can be", hint="add --max-steps, or choose --pruner median"
        )
    folder.mkdir(parents=True, exist_ok=True)
    plan.write(folder, base)


def go_on(
    folder: Path,
    *,
    trials: int | None = None,
    max_minutes: float | None = None,
    jobs: int = 1,
    threads: int | None = None,
    device: str | None = None,
    report: Report = silent,
    interrupts: Interrupts | None = None,
) -> StudyResult:
    """Run a study's trials: those that were begun and are not over, then new ones.

    Args:
        folder: of a study that was begun.
        trials: of the study in all; None: all of a grid, `DEFAULT_TRIALS` of another.
        max_minutes: after which this sitting ends; what is training then is gone on with another time.
        jobs: processes that run trials at once.
        threads: of torch in each of them.
        device: "cpu" leaves a GPU alone.
        report: told of how it goes.
        interrupts: looked at between steps.

    Raises:
        LockedError: another process is at it.
        DamagedError: the study cannot be read.
        AurlError: all trials fail, or a process does.
    """
    deadline = None if max_minutes is None else time.monotonic() + max_minutes * SECONDS_PER_MINUTE
    asked = interrupts or Interrupts()
    with quiet(), lock(folder / LOCK_NAME):
        ledger = Ledger.open(folder, *Plan.read(folder))
        begun = ledger.take_over()
        most = trials or (len(ledger.trials()) if ledger.plan.method == "grid" else DEFAULT_TRIALS)
        limits = Limits(most, deadline, threads, device)
        end = _work(ledger, limits, begun, min(jobs, _left(ledger, most, begun)), report, asked)
        return conclude(ledger, end, asked.stop or 0)


def _left(ledger: Ledger, most: int, begun: Sequence[int]) -> int:
    return max(1, most - ledger.begun() + len(begun))


def _work(
    ledger: Ledger, limits: Limits, begun: Sequence[int], jobs: int, report: Report, interrupts: Interrupts
) -> End:
    if jobs > 1:
        return work_in_jobs(ledger, limits, begun, jobs, report, interrupts)
    return work(ledger, limits, begun, report, interrupts)

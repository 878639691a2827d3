"""A study's trials on the disk, in Optuna's journal: written by any number of processes, whole whatever kills them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from filelock import FileLock
from optuna import Study, Trial, create_study
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from aurl.profile import Profile
from aurl.tuning.plan import Plan
from aurl.tuning.sampling import pruner_of, sampler_of
from aurl.tuning.space import Space

JOURNAL_NAME, ASKING_NAME, SITTING_NAME, TRIALS_NAME = "journal.log", ".asking.lock", ".sitting", "trials"
NAME = "aurl"
"""Of the study inside its journal; Hyperband draws from it, so it is always the same."""
REASON = "reason"


class _Lock:
    """A lock that the system lets go of when its process dies; Optuna's own would have to be waited for."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)

    def acquire(self) -> bool:
        """Wait for it."""
        self._lock.acquire()
        return True

    def release(self) -> None:
        """Let go of it."""
        self._lock.release()


@dataclass(frozen=True)
class Ledger:
    """An open study.

    Args:
        folder: of the study.
        plan: what it is about.
        space: what is searched.
        study: Optuna's.
        sitting: of all processes that work on the study together.
    """

    folder: Path
    plan: Plan
    space: Space
    study: Study
    sitting: str = field(default_factory=lambda: uuid4().hex)

    @classmethod
    def open(cls, folder: Path, plan: Plan, base: Profile, *, sitting: str | None = None) -> "Ledger":
        """Open a study, in a sitting of its own where none is named; one that is new knows its whole grid at once.

        Raises:
            ProfileError: something that is searched cannot be.
        """
        space = plan.space(base)
        folder.mkdir(parents=True, exist_ok=True)
        _mend(folder / JOURNAL_NAME)
        own = cast("Any", _Lock(folder / f".{JOURNAL_NAME}.lock"))  # Optuna's own class of locks is private
        backend = JournalFileBackend(str(folder / JOURNAL_NAME), lock_obj=own)
        training = base.training
        study = create_study(
            storage=JournalStorage(backend),
            study_name=NAME,
            direction=plan.direction,
            sampler=sampler_of(plan),
            pruner=pruner_of(plan, eval_every=training.eval_every, max_steps=training.max_steps),
            load_if_exists=True,
        )
        ledger = cls(folder, plan, space, study, **({} if sitting is None else {"sitting": sitting}))
        if plan.method == "grid":
            ledger._enter_grid()
        return ledger

    def _enter_grid(self) -> None:
        """What was killed while it did this is gone on with."""
        for point in self.space.grid()[len(self.trials()) :]:
            self.study.enqueue_trial(point)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """In order of their numbers; all of them where no state is named."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def begun(self) -> int:
        """How many trials have been begun."""
        return sum(trial.state is not TrialState.WAITING for trial in self.trials())

    def settled(self) -> int:
        """How many are over."""
        return sum(trial.state.is_finished() for trial in self.trials())

    def take_over(self) -> list[int]:
        """Numbers of the trials that are begun and not over; processes of earlier sittings begin no more of them.

        Such a process can outlive its study's end for a moment, and nobody would go on with what it began.
        """
        with FileLock(self.folder / ASKING_NAME):
            (self.folder / SITTING_NAME).write_text(self.sitting)
            return [trial.number for trial in self.trials(TrialState.RUNNING)]

    def _is_over(self) -> bool:
        """A later sitting has taken over."""
        path = self.folder / SITTING_NAME
        return path.exists() and path.read_text() != self.sitting

    def ask(self, most: int) -> Trial | None:
        """A new trial, None where `most` have been begun, nothing is left of the grid or this sitting is over."""
        with FileLock(self.folder / ASKING_NAME):
            if self._is_over():
                return None
            used_up = self.plan.method == "grid" and not self.trials(TrialState.WAITING)
            return None if used_up or self.begun() >= most else self.study.ask()

    def again(self, number: int) -> Trial:
        """A trial that was begun and is not over, with the values that it had."""
        return Trial(self.study, self.trials()[number]._trial_id)

    def run_of(self, number: int) -> Path:
        """Where a trial's run belongs."""
        return self.folder / TRIALS_NAME / f"{number:04d}"

    def values(self, trial: Trial | FrozenTrial) -> dict[str, Any]:
        """A trial's values, as a profile has them."""
        return self.space.values(trial.params)


def _mend(path: Path) -> None:
    """Cut off half a line that a process left which died while it wrote: what comes after it could not be read."""
    if not path.exists():
        return
    with FileLock(path.with_name(f".{path.name}.lock")), path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)

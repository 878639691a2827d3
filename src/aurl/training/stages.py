"""The stages of a run: each is a training of its own, with its own bounds, from where the one before it stopped."""

from collections.abc import Iterable
from itertools import accumulate
from typing import Any

from aurl.profile import Profile, Training
from aurl.profile.load import at_stage
from aurl.training.ranking import OUTDATED, Criterion
from aurl.training.state import TrainingState

SECONDS_PER_MINUTE = 60.0
OVER_A_STAGE = ("kl_schedule", "plateau", "last_average")
"""What runs from the beginning of a stage to its end, and begins anew with each."""
IN_TIME, STAGE_IS_LATE, RUN_IS_LATE = 0, 1, 2


def profile_now(whole: Profile, state: TrainingState) -> Profile:
    """The profile of the stage that a run is in; its bounds are the stage's own."""
    if not whole.stages:
        return whole
    profile = at_stage(whole, state.stage)
    return profile.model_copy(update={"training": profile.training.model_copy(update=_bounds(whole, state))})


def _bounds(whole: Profile, state: TrainingState) -> dict[str, Any]:
    """How long the stage may take, counted from its first step; a run's own bounds are never passed."""
    training, stage = whole.training, whole.stages[state.stage]
    minutes = training.max_minutes
    left = None if minutes is None else max(0.0, minutes - state.stage_seconds / SECONDS_PER_MINUTE)
    if stage.steps is not None:
        steps = stage.steps if training.max_steps is None else min(stage.steps, training.max_steps - state.stage_step)
        return {"max_steps": max(0, steps), "max_minutes": left}
    share, is_last = stage.share or 0.0, state.stage + 1 == len(whole.stages)
    horizon = max(1, round(share * training.horizon_steps))
    own = left if is_last or minutes is None or left is None else min(left, share * minutes)
    return {"max_steps": _steps_of_share(whole, state), "max_minutes": own, "horizon_steps": horizon}


def _steps_of_share(whole: Profile, state: TrainingState) -> int | None:
    """Steps of a stage; the last one has all that are left. None where minutes bound it."""
    training, number = whole.training, state.stage
    steps = training.max_steps
    if steps is None and training.max_minutes is None:
        steps = training.horizon_steps
    if steps is None:
        return None
    if number + 1 == len(whole.stages):
        return max(0, steps - state.stage_step)
    begin, end = [0.0, *accumulate(stage.share or 0.0 for stage in whole.stages)][number : number + 2]
    return round(steps * end) - round(steps * begin)


def has_next(whole: Profile, state: TrainingState) -> bool:
    """Whether another stage follows, and the run has steps left for it."""
    last, steps = state.stage + 1 >= len(whole.stages), whole.training.max_steps
    return not last and (steps is None or state.step < steps)


def lateness(whole: Profile, stage: Training, state: TrainingState, seconds: float) -> int:
    """Whether the minutes of the stage, or of the whole run, are over.

    Args:
        whole: the run's profile.
        stage: the section as it is in this stage.
        state: where the run stands.
        seconds: of training, over all sittings.
    """
    if _is_over(whole.training.max_minutes, seconds):
        return RUN_IS_LATE
    return STAGE_IS_LATE if _is_over(stage.max_minutes, seconds - state.stage_seconds) else IN_TIME


def _is_over(minutes: float | None, seconds: float) -> bool:
    return minutes is not None and seconds >= minutes * SECONDS_PER_MINUTE


def begin_next(state: TrainingState, criterion: Criterion, seconds: float) -> None:
    """Let the next stage begin where the run stands, with a new epoch.

    What is best, and how losses have been, is of no use to a stage that minimises or reads something else. Checkpoints
    that were best stay until the new stage has better ones, whatever these come to.

    Args:
        state: changed.
        criterion: which way is better.
        seconds: of training, over all sittings.
    """
    state.stage, state.stage_step, state.stage_seconds = state.stage + 1, state.step, seconds
    state.epoch, state.batch = state.epoch + (state.batch > 0), 0
    state.stage_epoch = state.epoch
    state.best_step, state.best_nats_per_note, state.bests = 0, None, {}
    state.evaluations_since_best, state.has_improved = 0, False
    for one in state.ranking:
        one.value = OUTDATED if criterion.mode == "min" else -OUTDATED
    watch = state.watch
    watch.nats, watch.norms, watch.spikes, watch.jumps = [], [], 0, 0


def profile_before(whole: Profile, state: TrainingState) -> Profile | None:
    """The profile of the stage that has just ended, None where none has."""
    return at_stage(whole, state.stage - 1) if state.begins_stage else None


def same_optimizer(before: Profile | None, now: Profile) -> bool:
    """Whether what an optimizer remembers is of use to the next."""
    return before is None or before.training.optimizer["kind"] == now.training.optimizer["kind"]


def remembered(names: Iterable[str], before: Profile | None, now: Profile) -> set[str]:
    """What goes on as it was; at the beginning of a stage some things begin as new.

    These are the ones that run over a stage, and those whose kind has changed.
    """
    if before is None:
        return set(names)
    kinds_before, kinds = _kinds(before), _kinds(now)
    return {name for name in names if name not in OVER_A_STAGE and kinds_before.get(name) == kinds.get(name)}


def _kinds(profile: Profile) -> dict[str, str]:
    """Key without its table → kind of the component there."""
    values = profile.values()
    return {key.partition(".")[2]: value["kind"] for key, value in values.items() if _is_component(value)}


def _is_component(value: Any) -> bool:
    return isinstance(value, dict) and "kind" in value

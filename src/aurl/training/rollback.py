"""Going back to the last good checkpoint: what of it must outlive the process."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from aurl.errors import DamagedError
from aurl.training.checkpoint import IsLeft
from aurl.training.events import DIVERGED, ROLLBACK, read_events, write_event
from aurl.training.state import TrainingState

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rollback:
    """One return to an earlier step.

    Args:
        step: where training went wrong.
        to_step: of the checkpoint that was the newest then; 0: from the start.
        epoch: place in the data behind the offending batches, from where on training goes.
        batch: the same, in the epoch.
        rate: factor of all learning rates from then on.
        seconds: training time until then, which is not given back.
        message: why, in words.
        is_void: the run was given up after it; who goes on with it then has other plans.
    """

    step: int
    to_step: int
    epoch: int
    batch: int
    rate: float
    seconds: float
    message: str
    is_void: bool = False

    def write(self, path: Path) -> None:
        """Keep it among the run's events; training may be killed at any moment after this."""
        facts = {key: value for key, value in asdict(self).items() if key not in ("step", "message", "is_void")}
        write_event(path, self.step, ROLLBACK, self.message, facts)


_ADAPTER = TypeAdapter(Rollback)


def read_rollbacks(path: Path) -> list[Rollback]:
    """All rollbacks among a run's events.

    Raises:
        DamagedError: one of them cannot be read.
    """
    events = read_events(path)
    given_up = max((n for n, event in enumerate(events) if event["kind"] == DIVERGED), default=-1)
    found = [{**event, "is_void": n < given_up} for n, event in enumerate(events) if event["kind"] == ROLLBACK]
    try:
        return [_ADAPTER.validate_python(event) for event in found]
    except ValidationError as error:
        raise DamagedError(f"{path} has a rollback that is not usable: {error.errors()[0]['msg']}") from error


def leaving(rollbacks: Sequence[Rollback]) -> IsLeft:
    """Says whether a run has gone back to before a checkpoint, which then knows less of its rollbacks."""

    def is_left(step: int, state: Mapping[str, Any]) -> bool:
        known = TrainingState.from_json(state["training"]).watch.rollbacks
        return any(step > rollback.to_step for rollback in rollbacks[known:] if not rollback.is_void)

    return is_left


def apply_rollbacks(state: TrainingState, rollbacks: Sequence[Rollback]) -> None:
    """Let `state`, as a checkpoint left it, follow the rollbacks that came after it.

    Its random numbers stay those of the checkpoint; the data goes on behind what was skipped, and rates are lower.
    """
    watch = state.watch
    new = [rollback for rollback in rollbacks[watch.rollbacks :] if not rollback.is_void]
    watch.rollbacks, watch.attempts = len(rollbacks), sum(not rollback.is_void for rollback in rollbacks)
    if not new:
        return
    last = new[-1]
    watch.rate *= math.prod(rollback.rate for rollback in new)
    state.epoch, state.batch = max((state.epoch, state.batch), (last.epoch, last.batch))
    state.seconds = max(state.seconds, last.seconds)
    logger.warning(
        "rolled back from step %d to step %d (%s); rates × %g from now on",
        last.step,
        state.step,
        last.message,
        watch.rate,
    )

"""A run that watches itself: whether it is sound, what is better, what to say, and when to go back."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from aurl.errors import did_you_mean
from aurl.model.latents.levels import FINE, GLOBAL, LOCAL
from aurl.profile import Profile
from aurl.training.alarms import Alarms
from aurl.training.bound import ALL, Bound
from aurl.training.events import DIVERGED, SKIPPED, SPIKE, write_event
from aurl.training.monitor import broken_parts, diverged
from aurl.training.ranking import SAMPLE, VALID, Criterion, check_measured, note_best, rank
from aurl.training.rollback import Rollback
from aurl.training.run import Run
from aurl.training.samples import sample_names
from aurl.training.session import Session
from aurl.training.state import TrainingState, Window
from aurl.training.validation import Likelihood
from aurl.training.vigil import SOUND, Health, Judgement, Vigil

logger = logging.getLogger(__name__)


class Watcher:
    """Watches one sitting; every process has one, and all of them come to the same conclusions.

    Args:
        session: what is trained; its state is changed.
    """

    def __init__(self, session: Session) -> None:
        profile, section = session.profile, session.profile.watching
        self._run, self._state, self._section = session.run, session.state, section
        self._places = profile.training.keep_best
        self._criterion, self._patience_on = criteria_of(profile)
        self._vigil = Vigil(section.spike, section.history, section.persistence, section.broken_updates)
        self._missing: set[str] = set()
        self._is_main = session.processes.is_main
        self._alarms = _alarms(self._run, self._state) if self._is_main else None

    @property
    def suspicious(self) -> bool:
        """Whether weights as they are now should not be gone back to."""
        return self._state.watch.suspicious

    def after_update(self, sound: bool) -> Judgement:
        """Count an update that had no finite gradient, or that there was one that had."""
        watch = self._state.watch
        judgement = self._vigil.count(watch, 0 if sound else watch.broken + 1)
        if not sound:
            self.tell(SKIPPED, f"the batch of step {self._state.step} had no finite gradient and was left out")
        return judgement

    def after_line(self, window: Window, phase: float) -> Judgement:
        """Judge the interval that ends."""
        if not window.updates:
            return SOUND
        if broken := broken_parts(window):
            return Judgement(Health.LOST, broken)
        watch = self._state.watch
        was = watch.spikes or watch.jumps
        nats, norm = _numbers(window)
        judgement = self._vigil.judge(watch, nats, norm, phase=phase)
        if judgement.health is not Health.SOUND and not was:
            self.tell(SPIKE, judgement.why)
        return judgement

    def doubts(self, window: Window) -> bool:
        """Whether weights, after the open interval, should not be gone back to."""
        if self.suspicious or broken_parts(window):
            return True
        return bool(window.updates) and self._vigil.is_spike(self._state.watch, *_numbers(window))

    def note(self, metrics: Mapping[str, Any]) -> None:
        """Remember a line of metrics, and say what it means."""
        numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
        self._state.newest |= {name: value for name, value in numbers.items() if math.isfinite(value)}
        if self._alarms is not None:
            self._alarms.note(self._state.step, metrics)

    def measured(self, prefix: str, found: Mapping[str, Any], *, healthy: bool) -> bool:
        """Take what was measured of the weights as they are.

        Args:
            prefix: of its names, `VALID` or `SAMPLE`; numbers of training count with those of validation.
            found: by names in the log.
            healthy: whether the weights may be gone back to, or else they are no better than others.

        Returns:
            Whether they are among the best.

        Raises:
            UsageError: what the profile asks for is not among it.
        """
        check_measured((self._criterion, *self._patience_on), prefix, found)
        known = dict(found)
        if prefix == VALID:
            old = self._state.newest
            known |= {name: value for name, value in old.items() if not name.startswith((VALID, SAMPLE))}
            self._warn_of_missing(known)
        if not healthy:
            return False
        self._state.has_improved |= note_best(self._state.bests, self._patience_on, known)
        value = self._criterion.value(known)
        step, ranking = self._state.step, self._state.ranking
        return value is not None and rank(ranking, step, value, self._criterion, places=self._places)

    def go_back(self, why: str) -> None:
        """Write down that training goes on from its last good checkpoint, with lower rates, behind these batches.

        Raises:
            DivergedError: it has done so as often as it may.
        """
        state, section = self._state, self._section
        if state.watch.attempts >= section.rollbacks:
            self.tell(DIVERGED, why)
            raise diverged(why, state.step, state.good_step)
        place = (state.step, state.good_step, state.epoch, state.batch)
        rollback = Rollback(*place, rate=section.rollback_rate, seconds=state.seconds, message=why)
        if self._is_main:
            rollback.write(self._run.events)
            logger.warning("step %d: %s; going back to step %d", state.step, why, state.good_step)

    def tell(self, kind: str, message: str) -> None:
        """Say and write down what has happened; all processes may call this."""
        if self._is_main:
            logger.warning("step %d: %s", self._state.step, message)
            write_event(self._run.events, self._state.step, kind, message)

    def _warn_of_missing(self, known: Mapping[str, Any]) -> None:
        """Say once of each number of training that should count that it has not been logged yet; some come late."""
        asked = {one.metric for one in (self._criterion, *self._patience_on)}
        late = {name for name in asked if not name.startswith((VALID, SAMPLE))} - known.keys() - self._missing
        self._missing |= late
        for name in sorted(late if self._is_main else ()):
            meant = did_you_mean(name, sorted(known))
            hint = f"; {meant}" if meant else ""
            logger.warning("%s should count, but has not been logged so far: nothing is better by it%s", name, hint)


def _alarms(run: Run, state: TrainingState) -> Alarms:
    """Of the stage that the run is in."""
    alarms = Alarms(run.metrics, run.events, since=state.stage_step)
    if state.begins_stage:
        alarms.begin_stage(state.step)
    return alarms


def criteria_of(profile: Profile) -> tuple[Criterion, tuple[Criterion, ...]]:
    """What checkpoints are kept by, and what patience is kept on."""
    training, latent = profile.training, profile.model.mode != "transformer"
    best = Criterion.of(training.best_by, training.best_mode, latent=latent)
    return best, tuple(Criterion.of(name, latent=latent) for name in profile.watching.patience_on) or (best,)


def check_criteria(profile: Profile) -> None:
    """Make sure that what checkpoints are kept by, and patience on, is measured.

    Raises:
        UsageError: it is not.
    """
    best, patience_on = criteria_of(profile)
    likelihood = Likelihood(0.0, 0, 0)
    each = dict.fromkeys((GLOBAL, LOCAL, FINE), 0.0)
    found = Bound(likelihood, each, each, {ALL: 0.0, **each}) if profile.model.mode != "transformer" else likelihood
    check_measured((best, *patience_on), VALID, found.metrics)
    check_measured((best, *patience_on), SAMPLE, sample_names() if profile.training.sample_every else ())


def _numbers(window: Window) -> tuple[float, float]:
    """Nats per target, and the mean gradient norm."""
    return window.nats / max(1, window.tokens), window.gradient_norm / max(1, window.updates)

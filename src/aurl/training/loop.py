"""The training loop: update, and now and then record, validate, save and sample, until something says stop."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from aurl.loss.reconstruction import Counts
from aurl.progress import Interrupts, Progress, Report
from aurl.training.batches import Batch, batch_counts
from aurl.training.bound import bound
from aurl.training.events import SWITCHED_OFF
from aurl.training.log import Recorder
from aurl.training.monitor import (
    Clock,
    estimate_horizon,
    kl_per_token,
    metrics_of,
    note_validation,
    progress_note,
    seconds_left,
)
from aurl.training.optim import set_learning_rate
from aurl.training.pace import Pace
from aurl.training.phases import has_settled, phase_at, progress
from aurl.training.ranking import SAMPLE, VALID
from aurl.training.samples import Sampled
from aurl.training.schedules import SCHEDULES, learning_rate
from aurl.training.session import Session
from aurl.training.stages import IN_TIME, RUN_IS_LATE, begin_next, has_next, lateness
from aurl.training.state import Window
from aurl.training.steps import Sums, update
from aurl.training.validation import likelihood
from aurl.training.vigil import Health, Judgement
from aurl.training.watcher import Watcher, criteria_of

logger = logging.getLogger(__name__)
Sampler = Callable[[Session, Interrupts], Sampled | None]
"""Makes pieces with the weights as they stand; None where it was asked to stop meanwhile."""


class Stop(StrEnum):
    """Why training ended."""

    MAX_STEPS = "max_steps"
    MAX_MINUTES = "max_minutes"
    PATIENCE = "patience"
    HORIZON = "horizon_steps"
    SIGNAL = "signal"
    STAGE = "stage"
    ROLLBACK = "rollback"


AGAIN = (Stop.STAGE, Stop.ROLLBACK)
"""After these the same run goes on at once, from its newest checkpoint."""


@dataclass
class Latest:
    """The newest numbers, for the progress line and the result."""

    metrics: dict[str, Any] = field(default_factory=dict)
    saved_step: int = 0
    signal: int = 0
    samples: list[Path] = field(default_factory=list)


class Loop:
    """Trains one sitting.

    Args:
        session: what is trained.
        sample: writes a sample piece; only called in the main process.
        recorder: told what is measured, None in all but the main process.
        report: told after every step.
        interrupts: looked at before every step.
    """

    def __init__(
        self, session: Session, sample: Sampler, recorder: Recorder | None, report: Report, interrupts: Interrupts
    ) -> None:
        self._session, self._sample, self._recorder = session, sample, recorder
        self._report, self._interrupts = report, interrupts
        self._training, self._state = session.profile.training, session.state
        self._schedule = SCHEDULES.from_component(self._training.schedule)
        self._clock = Clock(self._state.seconds)
        self._first_step = self._state.step
        self._lap_tokens = 0
        self._windows = self._augmented = 0
        self._lr = 0.0
        self._phase: dict[str, float] = {}
        self._sums = Sums.on(session.learner.accelerator.device)
        self._watcher, self._pace = Watcher(session), Pace(session)
        self.latest = Latest(metrics=dict(self._state.newest), saved_step=self._state.step)

    def run(self) -> Stop:
        """Train until a bound, lost patience, or a signal; the last state is saved.

        Where training is lost, it goes back: what to change then is written down, and nothing is saved.

        Raises:
            DivergedError: it has gone back too often.
        """
        if self._samples_are_due() and self._write_sample():
            self._save(due=True)
        reason = self._bound()
        while reason is None:
            batches = self._session.stream.take(self._training.accumulation)
            total, reason = self._agree(batches)
            if reason is None:
                reason = self._step(batches, total)
        if reason is not Stop.ROLLBACK:
            self._finish(reason)
        return reason

    def _bound(self) -> Stop | None:
        """Whether the steps are used up; all processes know."""
        steps, training = self._state.stage_steps, self._training
        if training.max_steps is not None and steps >= training.max_steps:
            return self._or_next_stage(Stop.MAX_STEPS)
        if self._state.evaluations_since_best >= training.patience:
            return self._or_next_stage(Stop.PATIENCE)
        endless = training.max_steps is None and training.max_minutes is None and not self._session.validation
        return Stop.HORIZON if endless and steps >= training.horizon_steps else None

    def _or_next_stage(self, reason: Stop) -> Stop:
        """What the end of a stage means for its run."""
        if not has_next(self._session.whole, self._state):
            return reason
        logger.info("stage %s ends at step %d: %s", self._session.stage_name, self._state.step, reason.value)
        return Stop.STAGE

    def _agree(self, batches: list[Batch]) -> tuple[Counts, Stop | None]:
        """What all processes have before them, and whether one of them was asked to stop or to save."""
        own = batch_counts(batches)
        interrupts, processes = self._interrupts, self._session.processes
        tokens, notes, stop, save, late, *windows = processes.sum(
            own.tokens,
            own.notes,
            interrupts.stop is not None,
            interrupts.save,
            self._lateness(),
            sum(batch.windows for batch in batches),
            sum(batch.augmented for batch in batches),
        )
        self._windows, self._augmented = map(int, windows)
        if save:
            interrupts.save = False
            self._save()
        if stop:
            self.latest.signal = int(processes.maximum(interrupts.stop or 0)[0])
            return Counts(int(tokens), int(notes)), Stop.SIGNAL
        over = Stop.MAX_MINUTES if late == RUN_IS_LATE else self._or_next_stage(Stop.MAX_MINUTES) if late else None
        return Counts(int(tokens), int(notes)), over

    def _lateness(self) -> int:
        """Only the main process looks at the clock."""
        if not self._session.processes.is_main:
            return IN_TIME
        return lateness(self._session.whole, self._training, self._state, self._clock.seconds())

    def _step(self, batches: list[Batch], total: Counts) -> Stop | None:
        session, state, training = self._session, self._state, self._training
        rate = state.watch.rate
        self._lr = self._learning_rate() * rate
        set_learning_rate(session.learner.optimizer, self._lr)
        learner = session.learner
        phase = phase_at(session.profile, state.stage_steps, state.horizon_steps, learner.kl_schedule)
        self._phase = learner.enter(replace(phase, discriminator_lr=phase.discriminator_lr * rate))
        sound = update(session.learner, batches, total, session.processes, self._sums)
        state.step += 1
        state.tokens += total.tokens
        state.windows += self._windows
        state.augmented += self._augmented
        self._lap_tokens += total.tokens
        state.epoch, state.batch = session.stream.commit()
        state.seconds = self._clock.seconds()
        judgement = self._watcher.after_update(sound)
        has_line = state.step % training.log_every == 0
        if has_line and judgement.health is not Health.LOST:
            judgement = self._record()
        if judgement.health is Health.LOST:
            self._watcher.go_back(judgement.why)
            return Stop.ROLLBACK
        is_among_best = state.step % training.eval_every == 0 and self._validate()
        is_among_best |= self._samples_are_due() and self._write_sample()
        if is_among_best or state.step % training.checkpoint_every == 0 or (has_line and state.is_overdue):
            self._save(due=True)
        self._tell()
        return self._bound()

    def _samples_are_due(self) -> bool:
        step, every = self._state.step, self._training.sample_every
        return bool(every and step and step % every == 0 and self._state.sampled_step != step)

    def _learning_rate(self) -> float:
        training, learner, state = self._training, self._session.learner, self._state
        lr = learner.plateau.share * learning_rate(
            self._state.stage_steps,
            self._state.horizon_steps,
            lr=training.lr,
            warmup_steps=training.warmup_steps,
            min_lr_ratio=training.min_lr_ratio,
            schedule=self._schedule,
        )
        last = learner.averages.last
        if last is None:
            return lr
        return last.enter(progress(state.stage_steps, state.horizon_steps), lr=lr, peak_lr=training.lr)

    def _collect(self) -> Window:
        """The open interval's sums over all processes, with what the newest checkpoint held of it.

        Sums of a few float32 numbers are exact in float64, so it does not matter where a checkpoint divides them.
        """
        own = self._sums.window()
        processes, held = self._session.processes, self._state.window
        nats, loss, tokens, notes, *rest = processes.sum(
            own.nats, own.loss, own.tokens, own.notes, *own.parts.values(), *own.losses
        )
        parts, losses = rest[: len(own.parts)], rest[len(own.parts) :]
        return Window(
            held.nats + nats,
            held.loss + loss,
            held.tokens + int(tokens),
            held.notes + int(notes),
            held.gradient_norm + own.gradient_norm,
            held.updates + own.updates,
            held.parts | {name: held.parts.get(name, 0.0) + part for name, part in zip(own.parts, parts, strict=True)},
            held.losses + losses,
            max(held.largest_norm, own.largest_norm),
            held.clipped + own.clipped,
            held.broken + own.broken,
        )

    def _record(self) -> Judgement:
        state, clock = self._state, self._clock
        window = self._collect()
        self._sums = Sums.on(self._session.learner.accelerator.device)
        state.window = Window()
        metrics = {
            "epoch": state.epoch,
            "batch": state.batch,
            "windows": state.windows,
            **({"augmented": state.augmented} if self._session.profile.data.augment else {}),
            **({"stage": state.stage} if self._session.stage_name else {}),
            **metrics_of(window),
            "weight_norm": self._session.learner.weight_norm,
            "lr": self._lr,
            **self._phase,
            **self._session.learner.balanced,
            "tokens": state.tokens,
            **self._pace.metrics(self._lap_tokens / clock.lap()),
            "seconds": state.seconds,
        }
        left = seconds_left(state, self._training, state.seconds)
        metrics |= {} if left is None else {"eta_seconds": left}
        self._lap_tokens = 0
        if window.updates:
            self._session.learner.kl_schedule.observe(kl_per_token(window))
        state.horizon_steps = self._session.processes.from_main(estimate_horizon(state, self._training))
        self._write(metrics)
        return self._watcher.after_line(window, self._phase.get("discriminator_stage", 0.0))

    def _write(self, metrics: dict[str, Any]) -> None:
        self.latest.metrics |= metrics
        self._state.records += 1
        self._watcher.note(metrics)
        if self._recorder is not None:
            self._recorder.write(self._state.step, metrics)

    def _validate(self) -> bool:
        """Likelihood of the valid split, or its bound; True if these weights are among the best."""
        session = self._session
        self._state.validated_step = self._state.step
        if not session.validation:
            return False
        with self._paused(), session.learner.whole() as model:
            measure = bound if model.levels else likelihood
            found = measure(model, session.validation, session.learner.accelerator, session.processes)
        settled = has_settled(session.learner.kl_schedule, self._state.stage_steps, self._state.horizon_steps)
        healthy = not self._watcher.doubts(self._collect())
        is_among_best = self._watcher.measured(VALID, found.metrics, healthy=healthy)
        note_validation(self._state, found.criterion, patience_counts=settled and healthy)
        improved = self._state.evaluations_since_best == 0
        if session.learner.plateau.observe(improved=improved, counts=settled and healthy):
            logger.info(
                "no better for a while: %.4g of the schedule's learning rate is left", session.learner.plateau.share
            )
        if (message := session.learner.heed(found.criterion)) is not None:
            self._watcher.tell(SWITCHED_OFF, message)
        self._write({**found.metrics, "evaluations_since_best": self._state.evaluations_since_best})
        return is_among_best

    def _save(self, *, due: bool = False, whatever: bool = False) -> None:
        """Write a checkpoint, unless it is not good to go back to.

        Args:
            due: it is for the run and not for who stopped it: what is gone back to must not depend on stops. Where it
                is not good, there will be one as soon as it is.
            whatever: also where it is not good.
        """
        state = self._state
        with self._paused():
            window = self._collect()
            suspicious = not whatever and self._watcher.doubts(window)
            state.is_overdue = suspicious if due else state.is_overdue
            if suspicious:
                logger.warning("no checkpoint at step %d: its numbers are suspicious", state.step)
                return
            state.seconds, state.window = self._clock.seconds(), window
            state.good_step = state.step if due else state.good_step
            self._sums = Sums.on(self._session.learner.accelerator.device)
            if self._recorder is not None:
                self._recorder.sync()
            folder = self._session.save()
        self.latest.saved_step = self._state.step
        if folder is not None:
            logger.info("checkpoint %s saved", folder.name)

    def _write_sample(self) -> bool:
        """Pieces by the weights as they are, measured; True if these are among the best.

        Where training was asked to stop meanwhile, that is done again once it goes on.
        """
        processes = self._session.processes
        with self._paused(), self._session.learner.whole():
            sampled = self._sample(self._session, self._interrupts) if processes.is_main else None
            found = processes.from_main(None if sampled is None else sampled.metrics)
        if sampled is not None:
            self.latest.samples += sampled.paths
        if found is None:
            return False
        self._state.sampled_step = self._state.step
        if not found:
            return False
        self._write(found)
        return self._watcher.measured(SAMPLE, found, healthy=not self._watcher.doubts(self._collect()))

    @contextmanager
    def _paused(self) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._clock.pause(time.perf_counter() - begin)

    def _tell(self) -> None:
        state, metrics = self._state, self.latest.metrics
        left = seconds_left(state, self._training, self._clock.seconds())
        note = " · ".join(part for part in (self._session.stage_name, progress_note(metrics)) if part)
        timed = self._training.max_minutes is not None and state.stage_steps >= self._training.log_every
        steps = state.horizon_steps if timed else self._training.max_steps
        total = None if steps is None else state.stage_step + steps
        self._report(Progress("train", state.step, total, "steps", note, left, metrics))

    def _finish(self, reason: Stop) -> None:
        unvalidated = reason is not Stop.SIGNAL and self._state.validated_step != self._state.step
        if unvalidated:
            self._validate()
        if reason is Stop.STAGE:
            begin_next(self._state, criteria_of(self._session.whole)[0], self._clock.seconds())
        # Saved before its minutes were over, a run would believe on resuming that some are left.
        timed_out = reason is Stop.MAX_MINUTES and self._state.step > self._first_step
        if unvalidated or timed_out or reason is Stop.STAGE or self.latest.saved_step != self._state.step:
            self._save(due=reason is not Stop.SIGNAL, whatever=reason is not Stop.SIGNAL)

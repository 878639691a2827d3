"""The training loop: update, and now and then record, validate, save and sample, until something says stop."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from aurl.loss.reconstruction import Counts
from aurl.progress import Interrupts, Progress, Report
from aurl.training.batches import Batch, batch_counts
from aurl.training.bound import bound
from aurl.training.hardware import resident_mib
from aurl.training.log import MetricsFile
from aurl.training.monitor import (
    SECONDS_PER_MINUTE,
    Clock,
    check_finite,
    describe,
    estimate_horizon,
    kl_per_token,
    metrics_of,
    note_improvement,
    progress_note,
    seconds_left,
)
from aurl.training.optim import set_learning_rate
from aurl.training.phases import has_settled, phase_at
from aurl.training.schedules import SCHEDULES, learning_rate
from aurl.training.session import Session
from aurl.training.state import Window
from aurl.training.steps import Sums, update
from aurl.training.validation import likelihood

logger = logging.getLogger(__name__)
Sampler = Callable[[Session, Interrupts], list[Path]]
"""Writes sample pieces with the weights as they stand; the list is empty where that failed."""


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
        metrics: open file, None in all but the main process.
        report: told after every step.
        interrupts: looked at before every step.
    """

    def __init__(
        self, session: Session, sample: Sampler, metrics: MetricsFile | None, report: Report, interrupts: Interrupts
    ) -> None:
        self._session, self._sample, self._metrics = session, sample, metrics
        self._report, self._interrupts = report, interrupts
        self._training, self._state = session.profile.training, session.state
        self._schedule = SCHEDULES.from_component(self._training.schedule)
        self._clock = Clock(self._state.seconds)
        self._first_step = self._state.step
        self._lap_tokens = 0
        self._lr = 0.0
        self._phase: dict[str, float] = {}
        self._sums = Sums.on(session.learner.accelerator.device)
        self.latest = Latest(saved_step=self._state.step)

    def run(self) -> Stop:
        """Train until a bound, lost patience, or a signal; the last state is saved."""
        reason = self._bound()
        while reason is None:
            batches = self._session.stream.take(self._training.accumulation)
            total, reason = self._agree(batches)
            if reason is None:
                reason = self._step(batches, total)
        self._finish(reason)
        return reason

    def _bound(self) -> Stop | None:
        """Whether the steps are used up; all processes know."""
        step, training = self._state.step, self._training
        if training.max_steps is not None and step >= training.max_steps:
            return Stop.MAX_STEPS
        if self._state.evaluations_since_best >= training.patience:
            return Stop.PATIENCE
        endless = training.max_steps is None and training.max_minutes is None and not self._session.validation
        return Stop.HORIZON if endless and step >= training.horizon_steps else None

    def _agree(self, batches: list[Batch]) -> tuple[Counts, Stop | None]:
        """What all processes have before them, and whether one of them was asked to stop or to save."""
        own = batch_counts(batches)
        interrupts, processes = self._interrupts, self._session.processes
        tokens, notes, stop, save, late = processes.sum(
            own.tokens, own.notes, interrupts.stop is not None, interrupts.save, processes.is_main and self._is_late()
        )
        if save:
            interrupts.save = False
            self._save()
        if stop:
            self.latest.signal = int(processes.maximum(interrupts.stop or 0)[0])
            return Counts(int(tokens), int(notes)), Stop.SIGNAL
        return Counts(int(tokens), int(notes)), Stop.MAX_MINUTES if late else None

    def _is_late(self) -> bool:
        minutes = self._training.max_minutes
        return minutes is not None and self._clock.seconds() >= minutes * SECONDS_PER_MINUTE

    def _step(self, batches: list[Batch], total: Counts) -> Stop | None:
        session, state, training = self._session, self._state, self._training
        self._lr = self._learning_rate()
        set_learning_rate(session.learner.optimizer, self._lr)
        learner = session.learner
        self._phase = learner.enter(phase_at(session.profile, state.step, state.horizon_steps, learner.kl_schedule))
        update(session.learner, batches, total, session.processes, self._sums)
        state.step += 1
        state.tokens += total.tokens
        self._lap_tokens += total.tokens
        state.epoch, state.batch = session.stream.commit()
        state.seconds = self._clock.seconds()
        if state.step % training.log_every == 0:
            self._record()
        improved = state.step % training.eval_every == 0 and self._validate()
        if improved or state.step % training.checkpoint_every == 0:
            self._save()
        if training.sample_every and state.step % training.sample_every == 0:
            self._write_sample()
        self._tell()
        return self._bound()

    def _learning_rate(self) -> float:
        training = self._training
        return learning_rate(
            self._state.step,
            self._state.horizon_steps,
            lr=training.lr,
            warmup_steps=training.warmup_steps,
            min_lr_ratio=training.min_lr_ratio,
            schedule=self._schedule,
        )

    def _collect(self) -> Window:
        """The open interval's sums over all processes, with what the newest checkpoint held of it.

        Sums of a few float32 numbers are exact in float64, so it does not matter where a checkpoint divides them.
        """
        own = self._sums.window()
        processes, held = self._session.processes, self._state.window
        nats, loss, tokens, notes, *parts = processes.sum(
            own.nats, own.loss, own.tokens, own.notes, *own.parts.values()
        )
        window = Window(
            held.nats + nats,
            held.loss + loss,
            held.tokens + int(tokens),
            held.notes + int(notes),
            held.gradient_norm + own.gradient_norm,
            held.updates + own.updates,
            held.parts | {name: held.parts.get(name, 0.0) + part for name, part in zip(own.parts, parts, strict=True)},
        )
        check_finite(window, self._state.step, self.latest.saved_step)
        return window

    def _record(self) -> None:
        state, clock = self._state, self._clock
        window = self._collect()
        self._sums = Sums.on(self._session.learner.accelerator.device)
        state.window = Window()
        metrics = {
            "epoch": state.epoch,
            "batch": state.batch,
            **metrics_of(window),
            "lr": self._lr,
            **self._phase,
            **self._session.learner.balanced,
            "tokens": state.tokens,
            "tokens_per_second": self._lap_tokens / clock.lap(),
            "seconds": state.seconds,
            "memory_mib": resident_mib(),
        }
        self._lap_tokens = 0
        self._session.learner.kl_schedule.observe(kl_per_token(window))
        state.horizon_steps = self._session.processes.from_main(estimate_horizon(state, self._training))
        self._write(metrics)

    def _write(self, metrics: dict[str, Any]) -> None:
        self.latest.metrics |= metrics
        self._state.records += 1
        if self._metrics is not None:
            self._metrics.write(self._state.step, metrics)
            logger.info("step %d: %s", self._state.step, describe(metrics))

    def _validate(self) -> bool:
        """Likelihood of the valid split, or its bound; True if it is the best so far."""
        session = self._session
        self._state.validated_step = self._state.step
        if not session.validation:
            return False
        with self._paused():
            model = session.learner.evaluated
            measure = bound if model.levels else likelihood
            found = measure(model, session.validation, session.learner.accelerator, session.processes)
        settled = has_settled(session.learner.kl_schedule, self._state.step, self._state.horizon_steps)
        improved = note_improvement(self._state, found.criterion, patience_counts=settled)
        self._write({**found.metrics, "evaluations_since_best": self._state.evaluations_since_best})
        return improved

    def _save(self) -> None:
        with self._paused():
            self._state.seconds = self._clock.seconds()
            self._state.window = self._collect()
            self._sums = Sums.on(self._session.learner.accelerator.device)
            if self._metrics is not None:
                self._metrics.sync()
            folder = self._session.save()
        self.latest.saved_step = self._state.step
        if folder is not None:
            logger.info("checkpoint %s saved", folder.name)

    def _write_sample(self) -> None:
        with self._paused():
            if self._session.processes.is_main:
                self.latest.samples += self._sample(self._session, self._interrupts)

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
        note = progress_note(metrics)
        timed = self._training.max_minutes is not None and state.step >= self._training.log_every
        total = state.horizon_steps if timed else self._training.max_steps
        self._report(Progress("train", state.step, total, "steps", note, left))

    def _finish(self, reason: Stop) -> None:
        unvalidated = reason is not Stop.SIGNAL and self._state.validated_step != self._state.step
        if unvalidated:
            self._validate()
        # Saved before its minutes were over, a run would believe on resuming that some are left.
        timed_out = reason is Stop.MAX_MINUTES and self._state.step > self._first_step
        if unvalidated or timed_out or self.latest.saved_step != self._state.step:
            self._save()

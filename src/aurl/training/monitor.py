"""Numbers while training: one record per interval, how far there is to go, and when to stop."""

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aurl.errors import AurlError
from aurl.loss.terms import ADVERSARIAL, FEATURE_MATCHING, RECONSTRUCTION, kl_name
from aurl.profile import Training
from aurl.training.state import TrainingState, Window
from aurl.training.steps import DISCRIMINATOR, DISCRIMINATOR_ACCURACY, HEARD

logger = logging.getLogger(__name__)
SECONDS_PER_MINUTE = 60.0
OF_WHAT_IS_HEARD = (ADVERSARIAL, FEATURE_MATCHING, DISCRIMINATOR, DISCRIMINATOR_ACCURACY)
"""Means over what the discriminator heard, not over what passed before it joined."""


class DivergedError(AurlError):
    """The loss or its gradient is no longer a number."""


@dataclass
class Clock:
    """Training time over all sittings, and the part of it since the last record that was spent on updates.

    Args:
        before_seconds: of earlier sittings.
    """

    before_seconds: float
    _begin: float = field(default_factory=time.perf_counter)
    _mark: float = field(default_factory=time.perf_counter)
    _paused: float = 0.0

    def seconds(self) -> float:
        """All training time of the run so far."""
        return self.before_seconds + time.perf_counter() - self._begin

    def pause(self, seconds: float) -> None:
        """Do not count `seconds` (of validation, saving, sampling) as updates."""
        self._paused += seconds

    def lap(self) -> float:
        """Seconds of updates since the last lap."""
        now = time.perf_counter()
        lap = now - self._mark - self._paused
        self._mark, self._paused = now, 0.0
        return max(lap, 1e-9)


def check_finite(window: Window, step: int, good_step: int) -> None:
    """Make sure that training has not diverged.

    Raises:
        DivergedError: it has; the message says from where to go on.
    """
    values = {"loss": window.loss, "gradient norm": window.gradient_norm, "nats": window.nats, **window.parts}
    broken = [f"{name} {value}" for name, value in values.items() if not math.isfinite(value)]
    if not broken:
        return
    good = f"the last good checkpoint is of step {good_step}" if good_step else "there is no checkpoint yet"
    raise DivergedError(
        f"training diverged: {', '.join(broken)} before step {step}; {good}",
        hint="go on from the checkpoint, or start again, with a lower training.lr or a longer training.warmup_steps",
    )


def metrics_of(window: Window) -> dict[str, float]:
    """Means over an interval, named as they are logged; the reconstruction is `nats_per_token` already."""
    tokens, notes, updates = max(1, window.tokens), max(1, window.notes), max(1, window.updates)
    counts = dict.fromkeys(OF_WHAT_IS_HEARD, max(1, window.parts.get(HEARD, 0)))
    parts = {name: part for name, part in window.parts.items() if name not in (RECONSTRUCTION, HEARD)}
    return {
        "train/loss": window.loss / tokens,
        "train/nats_per_token": window.nats / tokens,
        "train/nats_per_note": window.nats / notes,
        "gradient_norm": window.gradient_norm / updates,
        **{f"train/{name}": part / counts.get(name, tokens) for name, part in parts.items()},
    }


def kl_per_token(window: Window) -> float:
    """Nats per target that latents of all levels cost, free ones and all; 0 without latents."""
    return sum(part for name, part in window.parts.items() if name.startswith(kl_name(""))) / max(1, window.tokens)


def estimate_horizon(state: TrainingState, training: Training) -> int:
    """Where the schedule ends: at `max_steps`, where `max_minutes` is likely to end, or at `horizon_steps`.

    The pace is that of the whole run so far, validation and all, so the estimate steadies by itself.
    """
    bounds = [] if training.max_steps is None else [training.max_steps]
    if training.max_minutes is not None and state.step and state.seconds > 0:
        bounds.append(max(state.step, round(state.step * training.max_minutes * SECONDS_PER_MINUTE / state.seconds)))
    return min(bounds, default=training.horizon_steps)


def seconds_left(state: TrainingState, training: Training, seconds_now: float) -> float | None:
    """Time until a bound is reached at the run's pace, None without bounds."""
    bounds = []
    if training.max_minutes is not None:
        bounds.append(training.max_minutes * SECONDS_PER_MINUTE - seconds_now)
    if training.max_steps is not None and state.step:
        bounds.append((training.max_steps - state.step) * seconds_now / state.step)
    return max(0.0, min(bounds)) if bounds else None


def note_improvement(state: TrainingState, nats_per_note: float, *, patience_counts: bool = True) -> bool:
    """Count a validation; True if it is the best so far.

    Args:
        state: where the run stands.
        nats_per_note: what was found.
        patience_counts: whether it may be held against the run that it is not.
    """
    best = state.best_nats_per_note
    if best is not None and not nats_per_note < best:
        state.evaluations_since_best += patience_counts
        return False
    state.best_nats_per_note, state.best_step, state.evaluations_since_best = nats_per_note, state.step, 0
    return True


def describe(metrics: dict[str, Any]) -> str:
    """`name value, name value…` for the log."""
    return ", ".join(f"{name} {_short(value)}" for name, value in metrics.items())


def _short(value: Any) -> str:
    if not isinstance(value, float):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def progress_note(metrics: Mapping[str, Any]) -> str:
    """What a person sees beside the bar: the newest numbers of those that are known."""
    parts = []
    if "train/nats_per_token" in metrics:
        kl = [value for name, value in metrics.items() if name.startswith(f"train/{kl_name('')}")]
        divergence = f" + {sum(kl):.3f} KL" if kl else ""
        parts.append(f"{metrics['train/nats_per_token']:.3f}{divergence} nats/token")
    if "tokens_per_second" in metrics:
        parts.append(f"{metrics['tokens_per_second']:,.0f} tokens/s")
    return " · ".join(parts)

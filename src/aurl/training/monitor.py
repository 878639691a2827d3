"""Numbers while training: one record per interval, how far there is to go, and when to stop."""

import logging
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import pvariance
from typing import Any

from aurl.errors import AurlError
from aurl.loss.terms import RECONSTRUCTION, kl_name
from aurl.profile import Training
from aurl.training.adversary import COUNTS, MEANS_OVER
from aurl.training.checkpoint import folder_name
from aurl.training.state import TrainingState, Window

logger = logging.getLogger(__name__)
SECONDS_PER_MINUTE = 60.0


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


def broken_parts(window: Window) -> str:
    """Names of what is no number any more, with what it is instead; empty where all is well."""
    values = {"loss": window.loss, "gradient norm": window.gradient_norm, "nats": window.nats, **window.parts}
    return ", ".join(f"{name} {value}" for name, value in values.items() if not math.isfinite(value))


def diverged(why: str, step: int, good_step: int) -> DivergedError:
    """The error of a run that cannot go on; it says from where another one could."""
    lower = "a lower training.lr or a longer training.warmup_steps"
    if not good_step:
        why = f"training diverged: {why} before step {step}; there is no checkpoint yet"
        return DivergedError(why, hint=f"start again with {lower}")
    return DivergedError(
        f"training diverged: {why} before step {step}; the last good checkpoint is of step {good_step}",
        hint=f"take its weights, with {lower}: aurl train --from RUN@{folder_name(good_step)} --set training.lr=…",
    )


def metrics_of(window: Window) -> dict[str, float]:
    """Means over an interval, named as they are logged; the reconstruction is `nats_per_token` already.

    `clipped` is the share of updates whose gradient was shortened, `loss_variance` that of `train/loss` over updates.
    """
    if not window.updates:
        return {"broken_updates": window.broken}
    tokens, notes, updates = max(1, window.tokens), max(1, window.notes), window.updates
    parts = {name: part for name, part in window.parts.items() if name != RECONSTRUCTION and not _is(name, COUNTS)}
    return {
        "train/loss": window.loss / tokens,
        "train/nats_per_token": window.nats / tokens,
        "train/nats_per_note": window.nats / notes,
        "loss_variance": pvariance(window.losses) if window.losses else 0.0,
        "gradient_norm": window.gradient_norm / updates,
        "gradient_norm_max": window.largest_norm,
        "clipped": window.clipped / updates,
        **({"broken_updates": window.broken} if window.broken else {}),
        **{f"train/{name}": part / (targets_of(name, window) or tokens) for name, part in parts.items()},
    }


def targets_of(name: str, window: Window) -> float:
    """Targets of what a part is a mean over, where that is not all of the window: 0 where it is.

    Parts that end in the name of a view are of what that view has heard.
    """
    for part, count in MEANS_OVER.items():
        if _is(name, [part]):
            return window.parts.get(count + name.removeprefix(part), 0) or window.parts.get(count, 0)
    return 0


def _is(name: str, families: Iterable[str]) -> bool:
    return any(name == family or name.startswith(f"{family}_") for family in families)


def kl_per_token(window: Window) -> float:
    """Nats per target that latents of all levels cost, free ones and all; 0 without latents."""
    return sum(part for name, part in window.parts.items() if name.startswith(kl_name(""))) / max(1, window.tokens)


def estimate_horizon(state: TrainingState, training: Training) -> int:
    """Where the schedule ends: at `max_steps`, where `max_minutes` is likely to end, or at `horizon_steps`.

    The pace is that of the whole stage so far, validation and all, so the estimate steadies by itself.
    """
    bounds = [] if training.max_steps is None else [training.max_steps]
    steps, seconds = state.stage_steps, state.seconds - state.stage_seconds
    if training.max_minutes is not None and steps and seconds > 0:
        bounds.append(max(steps, round(steps * training.max_minutes * SECONDS_PER_MINUTE / seconds)))
    return min(bounds, default=training.horizon_steps)


def seconds_left(state: TrainingState, training: Training, seconds_now: float) -> float | None:
    """Time until a bound of the stage is reached at its pace, None without bounds."""
    bounds, steps, seconds = list[float](), state.stage_steps, seconds_now - state.stage_seconds
    if training.max_minutes is not None:
        bounds.append(training.max_minutes * SECONDS_PER_MINUTE - seconds)
    if training.max_steps is not None and steps:
        bounds.append((training.max_steps - steps) * seconds / steps)
    return max(0.0, min(bounds)) if bounds else None


def note_validation(state: TrainingState, nats_per_note: float, *, patience_counts: bool = True) -> None:
    """Count a validation, and whether anything that patience is kept on has become better since the one before.

    Args:
        state: where the run stands.
        nats_per_note: what was found, for the result.
        patience_counts: whether it may be held against the run if nothing has.
    """
    best = state.best_nats_per_note
    if math.isfinite(nats_per_note) and (best is None or nats_per_note < best):
        state.best_nats_per_note, state.best_step = nats_per_note, state.step
    state.evaluations_since_best = 0 if state.has_improved else state.evaluations_since_best + patience_counts
    state.has_improved = False


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

"""The learning rate as a pure function of (step, horizon), so that resuming needs no scheduler's memory.

A schedule says which share of the peak rate is left after a share of the way; warm-up and floor are the same for all.
"""

import math
from collections.abc import Callable
from typing import Annotated

from annotated_types import Gt, Le

from aurl.registry import Registry

Schedule = Callable[[float], float]
"""Progress after the warm-up, 0–1 → how much of the way from the floor to the peak is left, 1–0."""
SCHEDULES: Registry[Schedule] = Registry("schedule")
MAX_WARMUP_SHARE = 0.2
"""Short runs warm up for at most this share of their horizon."""


@SCHEDULES.register("cosine")
def cosine() -> Schedule:
    """Half a cosine from the peak to the floor (Loshchilov & Hutter, ICLR 2017)."""
    return lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress))


@SCHEDULES.register("constant")
def constant() -> Schedule:
    """The peak rate to the end."""
    return lambda progress: 1.0


@SCHEDULES.register("stable_decay")
def stable_decay(*, decay_share: Annotated[float, Gt(0), Le(1)] = 0.2) -> Schedule:
    """The peak rate, then a straight line to the floor over the last `decay_share` (WSD, Hu et al. 2024)."""
    return lambda progress: min(1.0, (1.0 - progress) / decay_share)


def learning_rate(
    step: int, horizon_steps: int, *, lr: float, warmup_steps: int, min_lr_ratio: float, schedule: Schedule
) -> float:
    """Rate of the update that leads to step `step` + 1.

    Args:
        step: updates done so far, ≥ 0.
        horizon_steps: where the schedule ends, > 0; beyond it the rate stays as it is there.
        lr: peak rate.
        warmup_steps: updates over which the rate rises in a straight line to `lr`.
        min_lr_ratio: floor as a share of `lr`, 0–1.
        schedule: shape between peak and floor.
    """
    warmup = min(warmup_steps, int(horizon_steps * MAX_WARMUP_SHARE))
    if step < warmup:
        return lr * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, horizon_steps - warmup))
    return lr * (min_lr_ratio + (1.0 - min_lr_ratio) * schedule(progress))

"""Whether training is sound: numbers that are none, and losses and gradients far above their own history.

A line of the log is a spike where its nats per target, or its gradient norm, is above

    median + k × max(1.4826 × MAD, least × median)

of the newest lines that were none (MAD: the median distance from the median, which 1.4826 makes a standard deviation of
normal numbers; Hampel, JASA 1974). `least` is 2 % for nats and 50 % for norms, whose tail is long: a history that
hardly moves would make a spike of anything. Nats are those of the reconstruction, which no weight or schedule changes.
Norms do change with them: a gradient alone is a reason not to save, never to go back, and when it stays it is the new
history.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median

MIN_HISTORY = 8
"""A median of fewer lines says little."""
NORMAL = 1.4826
"""Standard deviations of a normal distribution in its median absolute deviation."""
LEAST_OF_NATS, LEAST_OF_NORMS = 0.02, 0.5
"""Least deviation as a share of the median."""


class Health(StrEnum):
    """How training is."""

    SOUND = "sound"
    SUSPICIOUS = "suspicious"
    LOST = "lost"


@dataclass(frozen=True)
class Judgement:
    """What a line of the log says of training's health.

    Args:
        health: sound, suspicious (do not save), or lost (go back).
        why: in words, empty where it is sound.
    """

    health: Health
    why: str = ""


SOUND = Judgement(Health.SOUND)


@dataclass
class Watch:
    """What a run remembers of its own health; saved with it.

    Args:
        nats: per target, of the newest sound lines.
        norms: gradient norms of the same.
        spikes: lines in a row whose loss was a spike.
        jumps: lines in a row of which only the gradient norm was.
        broken: updates in a row whose gradient was not finite.
        phase: what the discriminator heard in the newest line; another phase has another history.
        rollbacks: how many there have been.
        attempts: how many of them since the run was last given up.
        rate: factor of all learning rates.
    """

    nats: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    spikes: int = 0
    jumps: int = 0
    broken: int = 0
    phase: float = 0.0
    rollbacks: int = 0
    attempts: int = 0
    rate: float = 1.0

    @property
    def suspicious(self) -> bool:
        """Whether weights as they are now should not be gone back to."""
        return bool(self.spikes or self.jumps or self.broken)


def threshold(history: Sequence[float], k: float, least: float) -> float:
    """Above which a number is a spike; infinite for a short history, or where `k` is 0.

    Args:
        history: of numbers > 0.
        k: deviations above the median.
        least: deviation, as a share of the median.
    """
    if len(history) < MIN_HISTORY or not k:
        return math.inf
    middle = median(history)
    spread = NORMAL * median(abs(value - middle) for value in history)
    return middle + k * max(spread, least * middle)


@dataclass(frozen=True)
class Vigil:
    """Judges lines of the log.

    Args:
        k: deviations above the median that make a spike, 0 for none.
        history: lines that are remembered.
        persistence: lines in a row with a spike of the loss after which training is lost.
        broken_updates: updates in a row without a finite gradient after which it is.
    """

    k: float
    history: int
    persistence: int
    broken_updates: int

    def is_spike(self, watch: Watch, nats: float, norm: float) -> bool:
        """Whether these numbers, of part of a line, would make it one."""
        loud, steep = self._limits(watch)
        return not (nats <= loud and norm <= steep)

    def judge(self, watch: Watch, nats: float, norm: float, *, phase: float = 0.0) -> Judgement:
        """Judge a line, and remember it.

        Args:
            watch: what is remembered; changed.
            nats: per target, of the reconstruction.
            norm: of the gradient.
            phase: what the discriminator hears; with another one, norms begin a new history.
        """
        if not (math.isfinite(nats) and math.isfinite(norm)):
            return Judgement(Health.LOST, f"a loss of {nats:g}, a gradient norm of {norm:g}")
        if phase != watch.phase:
            watch.phase, watch.norms = phase, []
        loud, steep = self._limits(watch)
        if nats > loud:
            watch.spikes, watch.jumps = watch.spikes + 1, 0
            lost = watch.spikes >= self.persistence
            why = f"{nats:.3g} nats per token, above {loud:.3g}{_in_a_row(watch.spikes)}"
            return Judgement(Health.LOST if lost else Health.SUSPICIOUS, why)
        watch.spikes = 0
        if norm > steep:
            watch.jumps += 1
            if watch.jumps < self.persistence:
                why = f"a gradient norm of {norm:.3g}, above {steep:.3g}{_in_a_row(watch.jumps)}"
                return Judgement(Health.SUSPICIOUS, why)
            watch.norms = []
        watch.jumps = 0
        watch.nats = [*watch.nats, nats][-self.history :]
        watch.norms = [*watch.norms, norm][-self.history :]
        return SOUND

    def _limits(self, watch: Watch) -> tuple[float, float]:
        return threshold(watch.nats, self.k, LEAST_OF_NATS), threshold(watch.norms, self.k, LEAST_OF_NORMS)

    def count(self, watch: Watch, broken: int) -> Judgement:
        """Judge an update by `broken`, how many in a row had no finite gradient, and remember that."""
        watch.broken = broken
        if not broken:
            return SOUND
        lost = broken >= self.broken_updates
        return Judgement(Health.LOST if lost else Health.SUSPICIOUS, f"no finite gradient in {broken} updates in a row")


def _in_a_row(lines: int) -> str:
    return f", {lines} lines in a row" if lines > 1 else ""

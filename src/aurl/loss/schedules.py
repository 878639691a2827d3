"""How beta moves: kinds of `loss.kl_schedule`.

A schedule gives the factor of `loss.beta`. The planned ones are pure functions of progress, so that resuming needs no
memory of them; `adaptive` listens to what latents cost, and its state is saved.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

from annotated_types import Ge, Gt, Le

from aurl.errors import UsageError
from aurl.registry import Registry

Share = Annotated[float, Ge(0), Le(1)]
Start = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
LARGEST_ERROR = 1.0
"""Nats of log(KL / target) that are listened to at once: a collapsed posterior has an error without bound."""

NEAR = 0.1
"""So close is at the target: a tenth above it."""


class KLSchedule(Protocol):
    """Decides the factor of beta."""

    @property
    def settled(self) -> float:
        """Progress from which on the factor stays as it is, 0–1; before it, patience does not count."""
        ...

    def factor(self, done: float) -> float:
        """The factor of beta after a share `done` of the training, 0–1."""
        ...

    def observe(self, kl_per_token: float) -> None:
        """Be told what latents of all levels cost in the mean, in nats per target, over an interval of the log."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What it has learned, as JSON."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`."""
        ...


KL_SCHEDULES: Registry[KLSchedule] = Registry("kl_schedule")


@dataclass(frozen=True, slots=True)
class Planned:
    """A factor that depends on nothing but progress.

    Args:
        course: progress → factor.
        settled: progress from which on it stays as it is.
    """

    course: Callable[[float], float]
    settled: float

    def factor(self, done: float) -> float:
        """Where the course is."""
        return self.course(done)

    def observe(self, kl_per_token: float) -> None:
        """Nothing changes a plan."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing."""


@dataclass(slots=True)
class Controller:
    """Drives the KL divergence to a target by changing beta in small factors.

    An integral controller in the logarithm of beta: each observation multiplies the factor by (KL / target) ** speed.
    In the logarithm as much is needed from 0.001 to 0.002 as from 0.5 to 1, and beta cannot become negative; the factor
    stops at its bounds, so that no error piles up there (Shao et al., ControlVAE, ICML 2020, with a PI controller).

    Args:
        target: nats per target that latents of all levels are to cost.
        speed: exponent; the largest step of log beta, too.
        smallest: factor to begin with, below which it does not fall.
        largest: above which it does not rise.
    """

    target: float
    speed: float
    smallest: float
    largest: float
    _log: float = field(init=False)
    _arrived: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._log = math.log(self.smallest)

    @property
    def settled(self) -> float:
        """0 once the KL has been at its target, or beta at its bound; nothing tells before when that will be."""
        return 0.0 if self._arrived else 1.0

    def factor(self, done: float) -> float:
        """As the last observation left it."""
        return math.exp(self._log)

    def observe(self, kl_per_token: float) -> None:
        """Take a step towards the target."""
        ratio = max(kl_per_token, 0.0) / self.target
        error = math.log(ratio) if ratio else -LARGEST_ERROR
        moved = self._log + self.speed * max(-LARGEST_ERROR, min(LARGEST_ERROR, error))
        self._log = max(math.log(self.smallest), min(math.log(self.largest), moved))
        self._arrived |= error <= NEAR or moved > self._log

    def state_dict(self) -> dict[str, Any]:
        """What it has come to."""
        return {"log_factor": self._log, "arrived": self._arrived}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there; what a schedule of another kind has left begins as new."""
        self._log = float(state.get("log_factor", self._log))
        self._arrived = bool(state.get("arrived", self._arrived))


@KL_SCHEDULES.register("constant")
def constant() -> KLSchedule:
    """Beta from the start."""
    return Planned(lambda done: 1.0, 0.0)


@KL_SCHEDULES.register("linear")
def linear(*, start: Start = 0.0, hold: Share = 0.0, full: Share = 0.5) -> KLSchedule:
    """In a straight line (Bowman et al., CoNLL 2016).

    Args:
        start: share of beta to begin with.
        hold: share of the training before it rises.
        full: share of the training after which it has risen.
    """
    return _rise(lambda share: start + share * (1.0 - start), start=start, hold=hold, full=full)


@KL_SCHEDULES.register("exponential")
def exponential(*, start: Positive = 1e-3, hold: Share = 0.35, full: Share = 0.8) -> KLSchedule:
    """By equal factors; far below 1, the model begins as an autoencoder.

    Args:
        start: share of beta to begin with.
        hold: share of the training before it rises.
        full: share of the training after which it has risen.
    """
    return _rise(lambda share: start ** (1.0 - share), start=start, hold=hold, full=full)


@KL_SCHEDULES.register("cosine")
def cosine(*, start: Start = 0.0, hold: Share = 0.0, full: Share = 0.5) -> KLSchedule:
    """Along half a cosine: slowly at both ends.

    Args:
        start: share of beta to begin with.
        hold: share of the training before it rises.
        full: share of the training after which it has risen.
    """
    return _rise(
        lambda share: start + (1.0 - start) * 0.5 * (1.0 - math.cos(math.pi * share)), start=start, hold=hold, full=full
    )


@KL_SCHEDULES.register("cyclical")
def cyclical(*, cycles: Annotated[int, Ge(1)] = 4, rise: Share = 0.5, start: Start = 0.0) -> KLSchedule:
    """Several times in a straight line, and full for the rest of each cycle (Fu et al., NAACL 2019).

    It has settled with the end of the last rise.

    Args:
        cycles: how often it rises.
        rise: share of a cycle in which it does.
        start: share of beta that each cycle begins with.
    """

    def course(done: float) -> float:
        begun = min(int(done * cycles), cycles - 1)
        within = done * cycles - begun
        return 1.0 if within >= rise else start + within / rise * (1.0 - start)

    return Planned(course, 0.0 if start == 1 else (cycles - 1 + rise) / cycles)


@KL_SCHEDULES.register("adaptive")
def adaptive(
    *,
    target: Positive = 0.3,
    speed: Annotated[float, Gt(0), Le(1)] = 0.1,
    smallest: Positive = 1e-3,
    largest: Positive = 1.0,
) -> KLSchedule:
    """As large as it must be for the KL divergence to reach a target (after ControlVAE, ICML 2020).

    Args:
        target: nats per token that latents of all levels are to cost; 10 nats for windows of 500 tokens are 0.02.
        speed: largest step of log beta at each line of metrics.jsonl.
        smallest: share of beta to begin with, below which it does not fall.
        largest: share of beta above which it does not rise.
    """
    if largest < smallest:
        raise UsageError(
            f"the largest share of beta, {largest:g}, is below the smallest, {smallest:g}",
            hint="set loss.kl_schedule.largest to at least loss.kl_schedule.smallest",
        )
    return Controller(target, speed, smallest, largest)


def _rise(curve: Callable[[float], float], *, start: float, hold: float, full: float) -> KLSchedule:
    """`start` until `hold`, along `curve` of the share of the way to `full`, then 1."""

    def course(done: float) -> float:
        if done >= full:
            return 1.0
        return start if done <= hold else curve((done - hold) / (full - hold))

    return Planned(course, 0.0 if start == 1 else full)

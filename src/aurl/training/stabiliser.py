"""Keeps a generator and its discriminator in balance, and gives up on the adversary where it does harm.

Everything is decided from numbers that all processes share, every `measure_every` updates: a decision holds until the
next one, and no update between them waits for a GPU.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

HISTORY = 100
"""Measurements that are remembered."""
RECENT = 5
"""The newest, whose mean decides: one alone is of few windows."""
HARMED = 2
"""Validations in a row after which the adversary is given up: one may be chance."""
SMALLEST = 1e-12
"""A generator's gradient shorter than this is not divided by."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Who does what in an update.

    Args:
        learns: whether the discriminator takes a step.
        deceives: whether the generator hears it.
        weighed: whether gradients of what the generator minimises are compared.
        measured: whether what was seen since the last measurement is looked at.
        regularised: whether the lazy penalty is added.
    """

    learns: bool
    deceives: bool
    weighed: bool
    measured: bool
    regularised: bool


@dataclass(frozen=True, slots=True)
class Measurement:
    """Means over what was played in some updates.

    Args:
        updates: of the discriminator's time, the last of them included.
        accuracy: share of its scores that are on the right side.
        discriminator: its loss.
        adversarial: the generator's, before its weight; None where it heard nothing.
        balance: length of the likelihood's gradient by that of what is heard; None where they were not compared.
    """

    updates: int
    accuracy: float
    discriminator: float
    adversarial: float | None
    balance: float | None


@dataclass
class Standing:
    """What a stabiliser remembers beside its measurements.

    Args:
        updates: since the discriminator joined.
        steps: of the discriminator.
        listened: updates of this stage of the run in which the generator heard it.
        discriminator_skipped: updates without a step of the discriminator, for it was winning.
        generator_skipped: updates after the warm start in which the generator did not listen, for it was losing.
        seen: sums since the last measurement: scores on the right side, loss and targets of the discriminator, loss and
            targets of the generator.
        best_before: best validation of the stage before the generator listened, or the first one.
        harmed: validations in a row that were worse than that.
        off: whether the adversary has been given up.
    """

    updates: int = 0
    steps: int = 0
    listened: int = 0
    discriminator_skipped: int = 0
    generator_skipped: int = 0
    seen: tuple[float, ...] = (0.0,) * 5
    best_before: float | None = None
    harmed: int = 0
    off: bool = False


class Stabiliser:
    """Whose turn it is, how much the adversary counts, and whether it still does.

    Args:
        warm_start: updates in which the discriminator learns alone.
        skip_above: accuracy above which it takes no steps.
        skip_below: accuracy below which the generator does not listen.
        measure_every: updates between two measurements.
        weight_cap: largest factor of the adversary's weights that the balance of gradients may ask for; 0: it is 1.
        harm: share by which validation may be worse than before the adversary was heard; 0: any.
        r1_every: steps of the discriminator between two lazy penalties.
    """

    def __init__(
        self,
        *,
        warm_start: int,
        skip_above: float,
        skip_below: float,
        measure_every: int,
        weight_cap: float,
        harm: float,
        r1_every: int,
    ) -> None:
        self._warm_start, self._measure_every, self._r1_every = warm_start, measure_every, r1_every
        self._skip_above, self._skip_below = skip_above, skip_below
        self._weight_cap, self._harm = weight_cap, harm
        self._standing = Standing()
        self._seen: Tensor | None = None
        self.history: deque[Measurement] = deque(maxlen=HISTORY)

    @property
    def off(self) -> bool:
        """Whether the adversary has been given up."""
        return self._standing.off

    @property
    def is_listened_to(self) -> bool:
        """Whether the generator has listened, or does so in the next update."""
        return self._standing.listened > 0 or self.turn.deceives

    @property
    def accuracy(self) -> float | None:
        """Of the discriminator lately, 0–1; None before it was measured."""
        return _recent(one.accuracy for one in self.history)

    @property
    def factor(self) -> float:
        """What the weights of the adversary are multiplied by; 0 until gradients have been compared, if they are."""
        if self.off:
            return 0.0
        return (self._balance or 0.0) if self._weight_cap else 1.0

    @property
    def _balance(self) -> float | None:
        return _recent(one.balance for one in self.history if one.balance is not None)

    @property
    def turn(self) -> Turn:
        """The next update's."""
        now, accuracy = self._standing, self.accuracy
        deceives = now.updates >= self._warm_start and (accuracy is None or accuracy >= self._skip_below)
        due = now.updates % self._measure_every == 0
        weighed = deceives and self._weight_cap > 0 and (due or self._balance is None)
        return Turn(
            learns=accuracy is None or accuracy <= self._skip_above,
            deceives=deceives,
            weighed=weighed,
            measured=due or weighed,
            regularised=now.steps % self._r1_every == 0,
        )

    def take(self, seen: Tensor, lengths: Tensor | None = None) -> None:
        """Take up what one update came to; both are of all processes together.

        Args:
            seen: (5,) sums over the batches, as in `Standing`.
            lengths: (2,) of the gradients of the likelihood and of what is heard, where they were compared.
        """
        now, turn = self._standing, self.turn
        before = torch.tensor(now.seen, device=seen.device) if self._seen is None else self._seen
        together = before + seen
        now.updates += 1
        now.steps += turn.learns
        now.listened += turn.deceives
        now.discriminator_skipped += not turn.learns
        now.generator_skipped += not turn.deceives and now.updates > self._warm_start
        if turn.measured:
            self._measure(together, lengths)
        self._seen = torch.zeros_like(together) if turn.measured else together

    def _measure(self, seen: Tensor, lengths: Tensor | None) -> None:
        both = seen if lengths is None else torch.cat([seen, lengths.to(seen)])
        correct, loss, judged, adversarial, heard, *norms = both.tolist()
        balance = self._capped(*norms) if norms else None
        mean = adversarial / heard if heard else None
        if judged:
            self.history.append(Measurement(self._standing.updates, correct / judged, loss / judged, mean, balance))

    def _capped(self, likelihood: float, heard: float) -> float | None:
        """Esser et al., CVPR 2021; None where half precision has overflown."""
        ratio = likelihood / max(heard, SMALLEST)
        return min(ratio, self._weight_cap) if math.isfinite(ratio) else None

    def validated(self, cost: float) -> str | None:
        """Compare a validation with those before the adversary was heard.

        Args:
            cost: what validation has found, nats per note; less is better.

        Returns:
            What is to be told, if the adversary has been given up just now.
        """
        now = self._standing
        if now.off or not self._harm:
            return None
        if not now.listened or now.best_before is None:
            now.best_before = cost if now.best_before is None else min(cost, now.best_before)
            return None
        worse = cost / now.best_before - 1
        now.harmed = now.harmed + 1 if worse > self._harm else 0
        if now.harmed < HARMED:
            return None
        now.off = True
        lately = "not measured" if self.accuracy is None else f"{self.accuracy:.2f}"
        return (
            f"the adversary is switched off for the rest of the run: validation came to {cost:.4g} nats per note, "
            f"{worse:.1%} more than the {now.best_before:.4g} before the generator listened to it, and to more than "
            f"{self._harm:.1%} {HARMED} times in a row (accuracy of the discriminator lately: {lately}). Lower "
            "loss.adversarial and loss.feature_matching, let it join later (discriminator.start), or let it learn "
            "more slowly (discriminator.lr); discriminator.harm says how much worse is too much"
        )

    def begin_stage(self) -> None:
        """A stage of the run begins: its validations are compared with its own, for they may be of something else."""
        self._standing = replace(self._standing, listened=0, best_before=None, harmed=0)

    def told(self) -> dict[str, float]:
        """How things stand, by name in the log."""
        now = self._standing
        told = {
            "adversarial_factor": self.factor,
            "discriminator_skipped": now.discriminator_skipped,
            "generator_skipped": now.generator_skipped,
        }
        return told if self.accuracy is None else told | {"discriminator_accuracy_lately": self.accuracy}

    def state_dict(self) -> dict[str, Any]:
        """All of it; waits for the device."""
        seen = self._standing.seen if self._seen is None else tuple(self._seen.tolist())
        return asdict(self._standing) | {"seen": list(seen), "history": [asdict(one) for one in self.history]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`."""
        standing = {name: value for name, value in state.items() if name != "history"}
        self._standing = Standing(**standing | {"seen": tuple(state["seen"])})
        self._seen = None
        self.history = deque((Measurement(**one) for one in state["history"]), maxlen=HISTORY)


def _recent(values: Iterable[float]) -> float | None:
    newest = list(values)[-RECENT:]
    return sum(newest) / len(newest) if newest else None

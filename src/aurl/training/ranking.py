"""Which checkpoints are best, by any number that is logged, and whether anything has become better."""

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from aurl.errors import UsageError, did_you_mean

Mode = Literal["min", "max"]
AUTO = "auto"
HIGHER_IS_BETTER = ("overlap", "accuracy", "active_units", "shuffled_cost", "per_second", "share_of_peak")
"""Parts of the names of what should be large; of everything else that is logged, less is better."""
LATENT_CRITERION, CRITERION = "valid/elbo_per_note", "valid/nats_per_note"
VALID, SAMPLE = "valid/", "sample/"
"""What is found now and then, and counts when it is found; other numbers count with the validation after them."""
OUTDATED = sys.float_info.max
"""What checkpoints of a stage that is over are worth, or minus that: less than any other. JSON has no infinity."""


@dataclass(frozen=True)
class Criterion:
    """A logged number, and which way is better.

    Args:
        metric: its name in the log.
        mode: "min": less is better.
    """

    metric: str
    mode: Mode

    @classmethod
    def of(cls, metric: str, mode: str = AUTO, *, latent: bool = False) -> "Criterion":
        """What a profile asks for: "auto" is nats per note (of the bound, with latents), or the usual direction.

        Args:
            metric: name in the log, or "auto".
            mode: "min", "max" or "auto".
            latent: whether the model has latents.
        """
        name = metric if metric != AUTO else LATENT_CRITERION if latent else CRITERION
        usual: Mode = "max" if any(part in name for part in HIGHER_IS_BETTER) else "min"
        return cls(name, usual if mode == AUTO else "max" if mode == "max" else "min")

    def better(self, value: float, than: float) -> bool:
        """Whether `value` is strictly better; a number that is not finite never is."""
        return math.isfinite(value) and (value < than if self.mode == "min" else value > than)

    def value(self, found: Mapping[str, float | None]) -> float | None:
        """The number among what was found, None where it is not there or not finite."""
        value = found.get(self.metric)
        return value if value is not None and math.isfinite(value) else None


@dataclass
class Ranked:
    """A step and what its weights came to."""

    step: int
    value: float


def rank(ranking: list[Ranked], step: int, value: float, criterion: Criterion, *, places: int) -> bool:
    """Put `step` where it belongs, and drop what has no place any more.

    Of equal ones the earlier is better. A step that is there already is moved.

    Args:
        ranking: best first; changed.
        step: updates done.
        value: of the criterion.
        criterion: which way is better.
        places: how many there are.

    Returns:
        Whether the step has a place.
    """
    ranking[:] = [one for one in ranking if one.step != step]
    place = next((n for n, one in enumerate(ranking) if criterion.better(value, one.value)), len(ranking))
    ranking.insert(place, Ranked(step, value))
    del ranking[places:]
    return place < places


def note_best(bests: dict[str, float], criteria: Iterable[Criterion], found: Mapping[str, float | None]) -> bool:
    """Remember the best value of each criterion.

    Args:
        bests: metric → its best value so far; changed.
        criteria: what counts.
        found: numbers by their names in the log.

    Returns:
        Whether any of them is better than it has ever been.
    """
    improved = False
    for criterion in criteria:
        value = criterion.value(found)
        if value is None:
            continue
        best = bests.get(criterion.metric)
        if best is None or criterion.better(value, best):
            bests[criterion.metric] = value
            improved = True
    return improved


def check_measured(criteria: Iterable[Criterion], prefix: str, found: Iterable[str]) -> None:
    """Make sure that what is asked for is among what was measured.

    Args:
        criteria: what counts.
        prefix: of the names that are checked, `VALID` or `SAMPLE`.
        found: names that were measured.

    Raises:
        UsageError: one is not; a run would never have a best checkpoint, or never lose patience.
    """
    known = sorted(found)
    for criterion in criteria:
        if criterion.metric.startswith(prefix) and criterion.metric not in known:
            hint = did_you_mean(criterion.metric, known) or f"measured: {', '.join(known) or 'nothing'}"
            raise UsageError(f"{criterion.metric} is not measured in this run", hint=hint)

"""Keys that mean nothing without each other."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aurl.profile.faults import Fault
from aurl.profile.merge import Merged
from aurl.profile.sections import NONE_WORD
from aurl.profile.stages import STAGES, Stage, laid_over

TEACHER, DISTILLATION = "training.teacher", "loss.terms.distillation"


def unpaired_keys(merged: Merged, stages: Sequence[Stage]) -> Iterator[Fault]:
    """A teacher whom nobody listens to in any stage, and a pupil who has none."""
    listening = [DISTILLATION] if _has_distillation(merged.table) else []
    listening += [
        f"{STAGES}.{stage.name}.{DISTILLATION}"
        for stage in stages
        if not listening and _has_distillation(laid_over(merged.table, stage).table)
    ]
    training = merged.table.get("training")
    teacher = training.get("teacher") if isinstance(training, Mapping) else None
    if teacher in (None, NONE_WORD):
        yield from (Fault(key, "needs a teacher", suggestion=f"name a run: {TEACHER}") for key in listening)
    elif not listening:
        yield Fault(TEACHER, "has no effect without a loss term that listens to it", suggestion=f"add {DISTILLATION}")


def _has_distillation(table: Mapping[str, Any]) -> bool:
    loss = table.get("loss", {})
    terms = loss.get("terms", {}) if isinstance(loss, Mapping) else {}
    return isinstance(terms, Mapping) and "distillation" in terms

"""Keys that mean nothing without each other, or cannot be had together."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aurl.profile.faults import Fault
from aurl.profile.merge import Merged
from aurl.profile.sections import NONE_WORD
from aurl.profile.stages import STAGES, Stage, laid_over

TEACHER, DISTILLATION = "training.teacher", "loss.terms.distillation"
HYBRID, INFILL = "data.hybrid", "controls.infill"


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


def clashing_keys(merged: Merged, stages: Sequence[Stage]) -> Iterator[Fault]:
    """The hybrid view, in any stage, of windows whose ids do not stand in the order of their time."""
    tables = {HYBRID: merged.table}
    tables |= {f"{STAGES}.{stage.name}.{HYBRID}": laid_over(merged.table, stage).table for stage in stages}
    for key, table in tables.items():
        if _value(table, HYBRID) is True and _value(table, INFILL):
            yield Fault(key, "tells wrong times of windows that tell bars last", suggestion=f"leave out {INFILL}")
            return


def _value(table: Mapping[str, Any], dotted: str) -> Any:
    name, _, key = dotted.partition(".")
    section = table.get(name)
    return section.get(key) if isinstance(section, Mapping) else None


def _has_distillation(table: Mapping[str, Any]) -> bool:
    loss = table.get("loss", {})
    terms = loss.get("terms", {}) if isinstance(loss, Mapping) else {}
    return isinstance(terms, Mapping) and "distillation" in terms

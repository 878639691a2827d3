"""Stages of one training: each is the run's profile with some keys laid over it."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Annotated, Any

from pydantic import Field, ValidationError

from aurl.profile.faults import Fault, describe_fault
from aurl.profile.idle import idle_keys
from aurl.profile.merge import Layer, Merged, find_origin, nested
from aurl.profile.sections import Optional, Section
from aurl.profile.sources import PACKAGED
from aurl.profile.toml import format_key, format_value

STAGES = "stages"
"""The table of a profile that holds them."""
LOOSE = frozenset(
    {
        "model.dropout",
        "model.checkpointing",
        "latent.word_dropout",
        "latent.word_dropout_end",
        "latent.word_dropout_until",
        "latent.level_dropout",
        "discriminator.lr",
        "discriminator.start",
        "discriminator.stages",
        "controls.infill",
        "controls.forget",
        "controls.forget_all",
    }
)
"""Keys that weights know nothing of, in tables that they are made by."""
FIXED = (
    *("prepare", "tokens", "model", "controls", "latent", "discriminator", STAGES),
    *("training.seed", "training.precision", "training.accumulation", "training.ema_decay", "training.lora"),
    *("training.teacher", "training.max_steps", "training.max_minutes", "training.horizon_steps"),
    *("training.sharding", "training.trackers", "training.best_by", "training.best_mode"),
)
"""Tables and keys that a run keeps from its first stage to its last."""


class Stage(Section):
    """One of the `[[stages]]` of a profile."""

    name: str = Field(min_length=1, description="What the log calls it.")
    share: Annotated[float | None, Optional] = Field(
        default=None, gt=0, le=1, description="Share of the training that it takes; those of all stages add up to 1."
    )
    steps: Annotated[int | None, Optional] = Field(
        default=None, ge=1, description="Optimiser steps that it takes, instead of a share."
    )
    set: dict[str, Any] = Field(
        default={}, description='What is different in this stage: dotted keys and values, as in {"training.lr" = 1e-4}.'
    )


def read_stages(written: Any) -> tuple[tuple[Stage, ...], list[Fault]]:
    """The stages of a profile, and what is wrong with them by themselves."""
    if not isinstance(written, Sequence) or isinstance(written, str):
        return (), [Fault(STAGES, "should be an array of tables: [[stages]]")]
    stages, faults = [], []
    for number, item in enumerate(written):
        try:
            stages.append(Stage.model_validate(item))
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                place = ".".join((STAGES, _name(item, number), *map(str, fault["loc"])))
                faults.append(Fault(place, describe_fault(fault)))
    return tuple(stages), faults or list(_faults_of_all(stages))


def _name(item: Any, number: int) -> str:
    name = item.get("name") if isinstance(item, Mapping) else None
    return name if isinstance(name, str) and name else str(number)


def _faults_of_all(stages: Sequence[Stage]) -> Iterator[Fault]:
    names = [stage.name for stage in stages]
    yield from (
        Fault(f"{STAGES}.{name}", "a stage is named twice") for name in sorted({*names}) if names.count(name) > 1
    )
    lengths = [(stage.share is not None, stage.steps is not None) for stage in stages]
    for stage, given in zip(stages, lengths, strict=True):
        if sum(given) != 1:
            yield Fault(f"{STAGES}.{stage.name}", "needs either a share of the training or a number of steps")
    if len(set(lengths)) > 1:
        yield Fault(STAGES, "all should have a share, or all a number of steps")
    elif lengths and all(shared for shared, _ in lengths):
        whole = sum(stage.share or 0.0 for stage in stages)
        if not math.isclose(whole, 1.0, abs_tol=1e-6):
            yield Fault(STAGES, f"the shares add up to {whole:g}, not to 1")


def laid_over(table: Mapping[str, Any], stage: Stage, origin: str = "") -> Merged:
    """A profile's tables as they are in a stage; only what the stage sets has an origin."""
    own = {name: deepcopy(section) for name, section in table.items() if name != STAGES}
    merged = Merged(own)
    for key, value in stage.set.items():
        merged.add(Layer(origin, nested(key, value)))
    return merged


def faults_in_stages(
    merged: Merged, stages: Sequence[Stage], check: Callable[[Merged], Collection[Fault]], known: Collection[Fault]
) -> Iterator[Fault]:
    """What is wrong with the profiles of stages, each fault under the name of its stage.

    Args:
        merged: the run's own tables.
        stages: each on its own is as it should be.
        check: finds faults in tables.
        known: what it has found in the run's own.
    """
    before = {(fault.key, fault.message) for fault in known}
    for stage in stages:
        origin = find_origin(merged.origins, STAGES) or STAGES
        over = laid_over(merged.table, stage, origin)
        asked = [] if origin.startswith(PACKAGED) else [Layer(origin, {})]  # packaged files are for all modes
        found = [fault for fault in check(over) if (fault.key, fault.message) not in before]
        found += [Fault(key, "cannot change within a run") for key in over.origins if not _may_change(key)]
        found += idle_keys(over, (), asked, mode_is_open=False)
        for fault in found:
            yield Fault(f"{STAGES}.{stage.name}.{fault.key}", fault.message, origin, fault.suggestion)


def _may_change(key: str) -> bool:
    fixed = any(key == one or key.startswith(f"{one}.") for one in FIXED)
    return not fixed or key in LOOSE


def stages_to_toml(stages: Sequence[Stage]) -> list[str]:
    """Each stage as a table of an array."""
    return ["\n".join([f"[[{STAGES}]]", *_lines(stage)]) for stage in stages]


def _lines(stage: Stage) -> Iterator[str]:
    for key, value in stage.model_dump(mode="json", exclude_none=True).items():
        yield f"{format_key(key)} = {format_value(value)}"

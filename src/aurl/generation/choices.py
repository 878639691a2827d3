"""How ids are chosen: what a request says, and where it says nothing what the run's profile does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from aurl.errors import UsageError
from aurl.generation.constraints import CONSTRAINTS, Constraint
from aurl.generation.constraints.chords import ToldChords
from aurl.generation.constraints.header import ToldHeader
from aurl.generation.constraints.steering import Steering
from aurl.generation.guidance import Guidance
from aurl.generation.request import Request
from aurl.generation.sampling import FILTERS, Filter
from aurl.generation.sampling.sampler import Sampler
from aurl.profile import Generation
from aurl.profile.components import Completer
from aurl.profile.sections import Component
from aurl.tokens.codec import Codec

NUMBERS = ("temperature", "top_k", "top_p", "min_p", "latent_temperature", "guidance", "steering")
"""What a request may leave to the profile."""
COMPONENTS = {"filters": "filter", "constraints": "constraint"}
"""Likewise, with their registries; one of a request takes the place of the profile's of its kind, the others stay."""
KIND = "kind"
DATA = "data"
"""Option of constraints that look something up in what the model learnt from."""


def settle(request: Request, defaults: Generation, dataset: Path | None = None) -> Generation:
    """The profile's section with what the request says instead, its components checked and completed.

    Args:
        request: what is asked.
        defaults: of the run's profile.
        dataset: what the model learnt from: the `data` of constraints that say nothing else.

    Raises:
        UsageError: a component of the request is unknown, or an option of it; or there is nothing to mend.
    """
    asked: dict[str, Any] = {name: getattr(request, name) for name in NUMBERS}
    told: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    for name in COMPONENTS:
        told[name] = _merged(getattr(defaults, name), getattr(request, name))
    settled = defaults.model_copy(update=told)
    completer = Completer(tuple(COMPONENTS.values()))
    complete = cast("Generation", completer.section(settled, "generation"))
    if completer.faults:
        fault = completer.faults[0]
        place, meant = ".".join(fault.key.split(".")[:3]), fault.suggestion
        raise UsageError(
            _describe(fault.key, fault.message, settled),
            hint=meant.replace(f"{place}.", "") or "see aurl generate --help",
        )
    if request.mend and not complete.constraints:
        raise UsageError("--mend of nothing", hint="say what pieces are to keep to, as in --range 48:84")
    learnt = {} if dataset is None else {DATA: str(dataset)}
    completed = [{**one, **learnt} if one.get(DATA) == "" else one for one in complete.constraints]
    return complete.model_copy(update={"constraints": tuple(completed)})


def filters(settled: Generation) -> list[Filter]:
    """What is done to scores before an id is drawn."""
    return [FILTERS.from_component(component) for component in settled.filters]


def sampler(settled: Generation) -> Sampler:
    """What draws ids.

    Raises:
        UsageError: a number out of range.
    """
    return Sampler(
        temperature=settled.temperature,
        top_k=settled.top_k,
        top_p=settled.top_p,
        min_p=settled.min_p,
        filters=filters(settled),
    )


def told_rules(request: Request, settled: Generation, codec: Codec) -> list[Constraint]:
    """What makes pieces begin and go on as the model was told, and leads them back to it.

    Raises:
        UsageError: it has not learned to be told that.
    """
    wishes, rules = request.wishes, list[Constraint]()
    wishes.check(codec, is_steered=settled.steering > 0)
    values = wishes.header(codec)
    if request.prompt is None and (values or wishes.instruments):
        rules.append(ToldHeader(values, wishes.instruments))
    if wishes.chords:
        rules.append(ToldChords(wishes.chords, bars=wishes.chord_bars, time_base=codec.time_base))
    if settled.steering and (numbers := wishes.numbers()):
        rules.append(Steering(numbers, strength=settled.steering))
    return rules


def guidance(request: Request, settled: Generation, codec: Codec) -> Guidance:
    """How strongly pieces are drawn to what the model was told."""
    groups = (*request.wishes.header(codec), *(["chord"] if request.wishes.chords else []))
    return Guidance(settled.guidance, groups)


def constraints(settled: Generation, codec: Codec) -> list[Constraint]:
    """What pieces keep to beside the grammar."""
    return [CONSTRAINTS.from_component(component, codec) for component in settled.constraints]


def _merged(theirs: Sequence[Component], ours: Sequence[Component]) -> tuple[Component, ...]:
    kinds = {component.get(KIND) for component in ours}
    return (*(component for component in theirs if component[KIND] not in kinds), *ours)


def _describe(key: str, message: str, settled: Generation) -> str:
    """The fault as a person has asked for it: by kind and option, in place of "generation.filters.0.mass"."""
    _, name, place, *option = key.split(".")
    words = (COMPONENTS[name], getattr(settled, name)[int(place)].get(KIND, ""), *option)
    return f"{' '.join(word for word in words if word not in ('', KIND))}: {message}"

"""The options of `aurl generate` → the request that the library knows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from aurl.cli.generate_options import Conditions, Constraints, Latents, Length, Sampling, What
from aurl.cli.generate_values import read_meter, read_numbers, read_pairs, read_pitch, read_range, split_values
from aurl.cli.songs import read_songs
from aurl.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from aurl.generation.beam import Beam
    from aurl.generation.form import Form
    from aurl.generation.request import Request
    from aurl.generation.wishes import Wishes
    from aurl.tokens.vocabulary import Fact

T = TypeVar("T")
FILTERS = {
    "typical": ("typical", "mass"),
    "eta": ("eta", "epsilon"),
    "repetition": ("repetition", "penalty"),
    "no_repeat": ("no_repeat", "size"),
}
"""Field of the options → kind of filter, and its main option."""
CONSTRAINTS = {
    "scale": ("scale", "key"),
    "max_polyphony": ("polyphony", "voices"),
    "max_density": ("density", "most"),
    "grid": ("grid", "grid"),
    "no_copy": ("no_copy", "notes"),
}


def make_request(
    what: What, length: Length, sampling: Sampling, constraints: Constraints, conditions: Conditions, latents: Latents
) -> "Request":
    """What the options ask.

    Raises:
        UsageError: a value that means nothing, or wishes of which one says what the other denies.
        NotFoundError: a song is not there.
    """
    from aurl.generation.request import Request, draw_seed

    one, other = latents.interpolate or (None, None)
    names = (("--prompt", what.prompt), ("--like", latents.like), ("--interpolate", one), ("--interpolate", other))
    prompt, like, first, last = read_songs(names)
    return Request(
        count=what.count,
        seed=draw_seed() if what.seed is None else what.seed,
        prompt=prompt,
        prompt_seconds=what.prompt_seconds,
        infill=what.infill,
        seconds=length.seconds,
        bars=length.bars,
        form=_form(length.form),
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        min_p=sampling.min_p,
        filters=_filters(sampling),
        beam=_beam(sampling.beam),
        constraints=_constraints(constraints),
        mend=constraints.mend,
        wishes=_wishes(conditions),
        guidance=conditions.guidance,
        steering=conditions.steering,
        style=conditions.style,
        like=like,
        variation=latents.variation,
        interpolate=None if first is None or last is None else (first, last),
        steps=latents.steps,
        keep=tuple(latents.keep or ()),
        more=read_numbers(read_pairs(latents.more or (), "--more"), "--more"),
        hold=latents.hold,
        latent_temperature=latents.latent_temperature,
    )


def _wishes(asked: Conditions) -> "Wishes":
    from aurl.generation.wishes import Wishes
    from aurl.studies.names import parse_chords, parse_key

    if asked.chord_bars is not None and asked.chords is None:
        raise UsageError("--chord-bars of no chords", hint='name them: --chords "Am F C G"')
    facts: dict[Fact, float | None] = {
        "density": asked.density,
        "polyphony": asked.polyphony,
        "register": None if asked.register is None else read_pitch(asked.register),
        "dynamics": asked.dynamics,
    }
    return Wishes(
        tempo=asked.tempo,
        meter=None if asked.meter is None else read_meter(asked.meter),
        key=None if asked.key is None else parse_key(asked.key),
        chords=() if asked.chords is None else parse_chords(asked.chords),
        chord_bars=1.0 if asked.chord_bars is None else asked.chord_bars,
        instruments=() if asked.instruments is None else _instruments(asked.instruments),
        facts={name: number for name, number in facts.items() if number is not None},
    )


def _instruments(text: str) -> tuple[int, ...]:
    from aurl.midi.instruments import parse_instrument
    from aurl.tokens.vocabulary import MAX_PARTS

    names = [name for name in text.split(",") if name.strip()]
    if not 0 < len(names) <= MAX_PARTS:
        raise UsageError(
            f"--instruments names {len(names)} parts",
            hint=f"name 1 to {MAX_PARTS}, as in --instruments piano,drums",
        )
    return tuple(map(parse_instrument, names))


def _form(text: str | None) -> "Form | None":
    from aurl.generation.form import Form

    return None if text is None else _built(Form, "sections", text, "--form")


def _beam(text: str | None) -> "Beam | None":
    from aurl.generation.beam import Beam

    return None if text is None else _built(Beam, "width", text, "--beam")


def _built(kind: type[T], main: str, text: str, option: str) -> T:
    """An object of the values that an option tells."""
    # Of a number that may be left open it is the number that is given.
    known: dict[str, type] = {name: next(iter(get_args(hint)), hint) for name, hint in get_type_hints(kind).items()}
    values: dict[str, Any] = {}
    for name, value in split_values(text, main, option).items():
        if name not in known:
            others = [other for other in known if other != main]
            meant = did_you_mean(name, others) or f"known: {', '.join(others)}"
            raise UsageError(f"{option} knows no {name}", hint=meant)
        try:
            values[name] = known[name](value)
        except ValueError:
            shown = f"{option} {text}: {name} {value} is no {'whole ' * (known[name] is int)}number"
            raise UsageError(shown, hint="see aurl generate --help") from None
    return kind(**values)


def _filters(sampling: Sampling) -> tuple[dict[str, Any], ...]:
    temperatures = read_numbers(read_pairs(sampling.temperature_of or (), "--temperature-of"), "--temperature-of")
    by_kind = [{"kind": "kind_temperature", **temperatures}] if temperatures else []
    return (*by_kind, *_components(sampling, FILTERS))


def _constraints(asked: Constraints) -> tuple[dict[str, Any], ...]:
    pitches = [] if asked.pitch_range is None else [{"kind": "range", **read_range(asked.pitch_range)}]
    return (*pitches, *_components(asked, CONSTRAINTS))


def _components(group: Sampling | Constraints, known: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """What a profile would say in place of the group's options."""
    given = {field: getattr(group, field) for field in known}
    return [
        {"kind": known[field][0], **split_values(text, known[field][1], f"--{field.replace('_', '-')}")}
        for field, text in given.items()
        if text is not None
    ]

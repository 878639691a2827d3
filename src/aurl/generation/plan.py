"""What a request comes to once its songs are read: how pieces begin, how long they become, what their latents are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from aurl.controls.prompts import told_prompt
from aurl.errors import UsageError
from aurl.generation.context import elapsed_steps, header_length
from aurl.generation.engine import LatentsOfSeed, LengthRule
from aurl.generation.form import LatentsAfter
from aurl.generation.infill import Gap, open_gap
from aurl.generation.interpolation import places
from aurl.generation.length import length_rule
from aurl.generation.prompt import Prompt, load_prompt, load_song, told_song
from aurl.generation.request import Request
from aurl.generation.source import LatentSource
from aurl.midi.clock import seconds_at
from aurl.midi.score import Score
from aurl.model.latents.levels import Latents
from aurl.model.prior.conditions import UNKNOWN
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.profile import Generation
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import BOS


@dataclass(frozen=True)
class Variant:
    """How one of the pieces that are made of each seed is made.

    Args:
        length: how long the new music may become.
        latents: seed → latents of the piece; None for a model without.
    """

    length: LengthRule
    latents: LatentsOfSeed | None


@dataclass(frozen=True)
class Plan:
    """How all pieces of a request are made.

    Args:
        prompt: what they continue, None without.
        gap: what they fill in; None: nothing.
        variants: one for each piece that is made of a seed; several are the steps of an interpolation.
        after: what there is of a piece in a form → where what follows has its latents from; None for a model without.
        each: how long a piece becomes, for people, in `unit`.
        unit: "seconds" or "bars".
    """

    prompt: Prompt | None
    gap: Gap | None
    variants: Sequence[Variant]
    each: float
    unit: str
    after: LatentsAfter | None = None

    @property
    def begin(self) -> list[int]:
        """Ids that are given."""
        given = self.gap or self.prompt
        return given.ids if given else [BOS]


@dataclass(frozen=True)
class _Song:
    """The ids of a song that pieces are to be like, and how long it is."""

    ids: list[int]
    seconds: float

    @property
    def steps(self) -> int:
        return elapsed_steps(self.ids)


def make_plan(
    model: MusicTransformerVAEGAN,
    codec: Codec,
    request: Request,
    *,
    context: int,
    defaults: Generation,
    preprocess: Sequence[Mapping[str, Any]] = (),
    shift: Latents | None = None,
) -> Plan:
    """Read the songs of a request and find out what they mean; arguments and errors are those of `make_pieces`.

    Args:
        model: in evaluation mode.
        codec: of its ids.
        request: which pieces.
        context: most ids that the model may see at once.
        defaults: what holds, `settle`.
        preprocess: done to songs.
        shift: level → (size,), what latents are moved by.
    """
    check_latents(model, request)
    style = _style(model, request.style)
    prompt, gap = _given(codec, request, context=context, preprocess=preprocess)
    songs = [_load(song, codec, preprocess) for song in request.interpolate or (request.like,) if song is not None]
    lengths, each, unit = _lengths(request, codec, defaults, prompt, songs) if gap is None else _gap_length(gap)
    plan = Plan(prompt, gap, [Variant(length, None) for length in lengths], each, unit)
    if not model.levels:
        return plan
    source = partial(
        LatentSource,
        model,
        context=context,
        keep=request.keep,
        variation=request.variation,
        temperature=defaults.latent_temperature,
        style=style,
        shift=shift,
    )
    like, toward = [song.ids for song in songs] + [None] * (2 - len(songs))
    found = source(prompt=plan.begin, like=like, toward=toward)
    latents = [partial(found, place=place) for place in _places(request)]
    return replace(
        plan,
        variants=[Variant(*pair) for pair in zip(lengths, latents, strict=True)],
        after=lambda ids: source(prompt=ids),
    )


def _given(
    codec: Codec, request: Request, *, context: int, preprocess: Sequence[Mapping[str, Any]]
) -> tuple[Prompt | None, Gap | None]:
    """What pieces continue, or what they fill in."""
    song, asked = request.prompt, request.wishes.header(codec)
    if song is None:
        return None, None
    if request.infill is not None:
        return None, open_gap(song, codec, request.infill, context=context, preprocess=preprocess, asked=asked)
    plain = load_prompt(song, codec, preprocess=preprocess, seconds=request.prompt_seconds)
    return replace(plain, ids=told_prompt(plain.ids, header_length(plain.ids), codec, asked)), None


def check_latents(model: MusicTransformerVAEGAN, request: Request) -> None:
    """Refuse wishes about latents of a model without.

    Raises:
        UsageError: there is such a wish.
    """
    asked = {
        "--like": request.like,
        "--interpolate": request.interpolate,
        "--more": request.more or None,
        "--latent-temperature": request.latent_temperature,
    }
    for option, value in asked.items():
        if value is not None and not model.levels:
            raise UsageError(
                f"{option} is about latents, and this model of mode transformer has none",
                hint="train one that has: aurl train --profile vae; or continue a song: --prompt song.mid",
            )


def _style(model: MusicTransformerVAEGAN, name: str | None) -> int:
    """Place in the model's styles."""
    if name is None:
        return UNKNOWN
    if not model.styles:
        raise UsageError(
            f"this model knows no styles, {name!r} or any other",
            hint="train one that does: aurl train --profile vae --set latent.style=composer",
        )
    if name not in model.styles:
        raise UsageError(f"the model knows no style {name!r}", hint=f"known: {', '.join(model.styles)}")
    return model.styles.index(name)


def _load(song: Path | Score, codec: Codec, preprocess: Sequence[Mapping[str, Any]]) -> _Song:
    score, encoded = load_song(song, codec, preprocess=preprocess)
    return _Song(told_song(encoded, codec), float(seconds_at(score, [score.end_tick])[0]))


def _places(request: Request) -> list[float]:
    return places(request.places) if request.interpolate else [0.0]


def _lengths(
    request: Request, codec: Codec, defaults: Generation, prompt: Prompt | None, songs: Sequence[_Song]
) -> tuple[list[LengthRule], float, str]:
    """The rule for each place, and how many of which unit that is."""
    at = _places(request)
    if songs and request.seconds is None and request.bars is None:
        first, last = songs[0], songs[-1]
        steps = [round((1 - place) * first.steps + place * last.steps) for place in at]
        return [partial(_fixed, count) for count in steps], (first.seconds + last.seconds) / 2, "seconds"
    seconds = defaults.max_seconds if request.seconds is None else request.seconds
    bars = request.bars if request.form is None else request.form.bars * len(request.form.sections)
    clock, tempo = prompt.clock if prompt else None, request.wishes.tempo
    length = length_rule(codec, seconds=seconds, bars=bars, clock=clock, tempo=tempo)
    each, unit = (seconds, "seconds") if bars is None else (float(bars), "bars")
    return [length] * len(at), each, unit


def _gap_length(gap: Gap) -> tuple[list[LengthRule], float, str]:
    begin, end = gap.ticks
    first, last = seconds_at(gap.song, [begin, end]).tolist()
    return [partial(_fixed, gap.steps)], last - first, "seconds"


def _fixed(steps: int, ids: Sequence[int]) -> int:
    return steps

"""What a request comes to once its songs are read: how pieces begin, how long they become, what their latents are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aurl.errors import UsageError
from aurl.generation.context import elapsed_steps
from aurl.generation.engine import LengthRule
from aurl.generation.length import length_rule
from aurl.generation.prompt import Prompt, load_prompt, load_song
from aurl.generation.request import Request
from aurl.generation.source import LatentSource
from aurl.midi.clock import seconds_at
from aurl.model.prior.conditions import UNKNOWN
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.profile import Generation
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import BOS


@dataclass(frozen=True)
class Plan:
    """How all pieces of a request are made.

    Args:
        prompt: what they continue, None without.
        length: how long the new music may become.
        each: the same for people, in `unit`.
        unit: "seconds" or "bars".
        latents: seed → latents of the piece; None for a model without.
    """

    prompt: Prompt | None
    length: LengthRule
    each: float
    unit: str
    latents: LatentSource | None

    @property
    def begin(self) -> list[int]:
        """Ids that are given."""
        return self.prompt.ids if self.prompt else [BOS]


@dataclass(frozen=True)
class _Like:
    """The ids of a song that pieces are to be like, and how long it is."""

    ids: list[int]
    seconds: float


def make_plan(
    model: MusicTransformerVAEGAN,
    codec: Codec,
    request: Request,
    *,
    context: int,
    defaults: Generation,
    preprocess: Sequence[Mapping[str, Any]] = (),
) -> Plan:
    """Read the songs of a request and find out what they mean; arguments and errors are those of `make_pieces`."""
    _check_latents(model, request)
    style = _style(model, request.style)
    prompt = like = None
    if request.prompt is not None:
        prompt = load_prompt(request.prompt, codec, preprocess=preprocess, seconds=request.prompt_seconds)
    if request.like is not None:
        score, encoded = load_song(request.like, codec, preprocess=preprocess)
        like = _Like(encoded.ids.tolist(), float(seconds_at(score, [score.end_tick])[0]))
    length, each, unit = _length(request, codec, defaults, prompt, like)
    latents = _latents(model, request, prompt, like, style=style, context=context, defaults=defaults)
    return Plan(prompt, length, each, unit, latents)


def _check_latents(model: MusicTransformerVAEGAN, request: Request) -> None:
    asked = {"like": request.like, "latent_temperature": request.latent_temperature}
    for name, value in asked.items():
        if value is not None and not model.levels:
            raise UsageError(
                f"{name} is about latents, and this model of mode transformer has none",
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


def _length(
    request: Request, codec: Codec, defaults: Generation, prompt: Prompt | None, like: _Like | None
) -> tuple[LengthRule, float, str]:
    """The rule, and how many of which unit that is."""
    if like is not None and request.seconds is None and request.bars is None:
        steps = elapsed_steps(like.ids)
        return lambda _: steps, like.seconds, "seconds"
    seconds = defaults.max_seconds if request.seconds is None else request.seconds
    length = length_rule(codec, seconds=seconds, bars=request.bars, clock=prompt.clock if prompt else None)
    return (length, seconds, "seconds") if request.bars is None else (length, request.bars, "bars")


def _latents(
    model: MusicTransformerVAEGAN,
    request: Request,
    prompt: Prompt | None,
    like: _Like | None,
    *,
    style: int,
    context: int,
    defaults: Generation,
) -> LatentSource | None:
    if not model.levels:
        return None
    asked = request.latent_temperature
    return LatentSource(
        model,
        context=context,
        prompt=prompt.ids if prompt else [BOS],
        like=like.ids if like else None,
        variation=request.variation,
        temperature=defaults.latent_temperature if asked is None else asked,
        style=style,
    )

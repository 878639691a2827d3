"""From a model to finished pieces, batch after batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aurl.generation.engine import Batch, Ending, Engine, Made
from aurl.generation.plan import make_plan
from aurl.generation.prompt import Prompt
from aurl.generation.request import Request
from aurl.generation.sampling.sampler import Sampler
from aurl.midi.score import Score
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.profile import Generation
from aurl.progress import Interrupts, Progress, Report, silent
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import STEPS_PER_BEAT

BATCH_SIZE = 16
EVENTS_PER_REPORT = 256
SAMPLING = ("temperature", "top_k", "top_p", "min_p")
"""What a request may leave to the profile, and a sampler wants to know."""


@dataclass(frozen=True)
class Piece:
    """A new piece.

    Args:
        score: prompt and continuation, with the prompt's maps or what the piece's header says.
        ids: BOS … EOS.
        seed: makes the same piece again.
        nats: negative log-likelihood of the sampled ids under the model (temperature 1, nothing masked), given their
            latents.
        sampled: how many ids were sampled.
        prompt_tokens: how many ids were given.
        ended: "eos" by itself, "length" as long as asked, "tokens" at the most ids, "stopped" when interrupted.
        latents: level → how many latents its ids were told of, empty without latents.
    """

    score: Score
    ids: NDArray[np.uint16]
    seed: int
    nats: float
    sampled: int
    prompt_tokens: int
    ended: Ending
    latents: dict[str, int] = field(default_factory=dict)

    @property
    def nats_per_token(self) -> float:
        """Mean over the sampled ids; NaN without any."""
        return self.nats / self.sampled if self.sampled else float("nan")


def make_pieces(
    model: MusicTransformerVAEGAN,
    codec: Codec,
    request: Request,
    *,
    context: int,
    defaults: Generation,
    preprocess: Sequence[Mapping[str, Any]] = (),
    report: Report = silent,
    interrupts: Interrupts | None = None,
) -> list[Piece]:
    """New pieces by a model, one for each seed of the request.

    Args:
        model: in evaluation mode.
        codec: of its ids.
        request: which pieces.
        context: the model's training length in tokens.
        defaults: what holds where the request says nothing; `max_note_beats` are at 120 BPM in time base "seconds".
        preprocess: components, what was done to the pieces that the model learnt from; done to songs too.
        report: told of the seconds or bars that are made.
        interrupts: when it asks to stop, pieces end where they are and those not begun are left out.

    Raises:
        UsageError: a number out of range, a length that the codec cannot count in, or a wish about latents that the
            model has not.
        Rejected: a song cannot be used.
    """
    interrupts = interrupts or Interrupts()
    engine = _engine(model, codec, request, context=context, defaults=defaults)
    plan = make_plan(model, codec, request, context=context, defaults=defaults, preprocess=preprocess)
    told = _Told(report, plan.each, plan.unit, request.count)
    pieces: list[Piece] = []
    for begin in range(0, request.count, BATCH_SIZE):
        if interrupts.stop is not None:
            break
        seeds = request.seeds[begin : begin + BATCH_SIZE]
        batch = engine.start(
            plan.begin,
            seeds=seeds,
            length=plan.length,
            may_end=request.may_end,
            max_tokens=request.max_tokens,
            latents=plan.latents,
        )
        _run(batch, told, interrupts, finished=begin)
        latents = [{level.name: level.count(len(made.ids) - 1) for level in model.levels} for made in batch.pieces]
        for made, seed, counts in zip(batch.pieces, seeds, latents, strict=True):
            pieces.append(_piece(made, codec, plan.prompt, seed, counts))
    return pieces


def _engine(
    model: MusicTransformerVAEGAN, codec: Codec, request: Request, *, context: int, defaults: Generation
) -> Engine:
    return Engine(
        model,
        Grammar.of(codec, allow_zero_length=False),
        sampler=_sampler(request, defaults),
        context=context,
        max_note_steps=round(defaults.max_note_beats * STEPS_PER_BEAT) or None,
    )


def _sampler(request: Request, defaults: Generation) -> Sampler:
    asked: dict[str, Any] = {name: getattr(request, name) for name in SAMPLING}
    return Sampler(**{name: getattr(defaults, name) if value is None else value for name, value in asked.items()})


@dataclass
class _Told:
    """How far all pieces are, in the unit in which the user thinks of their length."""

    report: Report
    each: float
    unit: str
    count: int
    tokens: int = 0

    def __call__(self, done: float, *, finished: int) -> None:
        total = round(self.each * self.count)
        note = f"{finished} of {self.count} pieces, {self.tokens:,} tokens"
        self.report(Progress("generate", min(int(self.each * done), total), total, self.unit, note))


def _run(batch: Batch, told: _Told, interrupts: Interrupts, *, finished: int) -> None:
    for _ in batch:
        told.tokens += 1
        if told.tokens % EVENTS_PER_REPORT == 0:
            told(finished + batch.progress(), finished=finished + batch.finished)
        if interrupts.stop is not None:
            batch.stop()
    done = finished + len(batch.pieces)
    told(done, finished=done)


def _piece(made: Made, codec: Codec, prompt: Prompt | None, seed: int, latents: dict[str, int]) -> Piece:
    ids = np.array(made.ids, np.uint16)
    given = len(prompt.ids) if prompt else 1
    score = codec.decode(ids, prompt.maps if prompt else None)
    return Piece(score, ids, seed, made.nats, made.sampled, given, made.ended, latents)

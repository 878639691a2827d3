"""From a model to finished pieces, batch after batch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aurl.generation.beam.search import Beams
from aurl.generation.engine import Batch, Ending, Made
from aurl.generation.forming import Formed
from aurl.generation.making import Making
from aurl.generation.request import Request
from aurl.midi.score import Score
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.profile import Generation
from aurl.progress import Interrupts, Progress, Report, silent
from aurl.tokens.codec import Codec

EVENTS_PER_REPORT = 256


@dataclass(frozen=True)
class Piece:
    """A new piece.

    Args:
        score: prompt and continuation, with the prompt's maps or what the piece's header says; mended, if asked.
        ids: BOS … EOS.
        seed: makes the same piece again.
        nats: negative log-likelihood of the sampled ids under the model (temperature 1, nothing masked), given their
            latents; guided, where it is.
        sampled: how many ids were sampled.
        prompt_tokens: how many ids were given.
        ended: "eos" by itself, "length" as long as asked, "tokens" at the most ids, "stopped" when interrupted.
        latents: level → how many latents its ids were told of, empty without latents.
        broken: what of the constraints it does not keep to, in words.
        number: in the request, from 0; streamed pieces come as they are made, and stopped requests may leave some out.
    """

    score: Score
    ids: NDArray[np.uint16]
    seed: int
    nats: float
    sampled: int
    prompt_tokens: int
    ended: Ending
    latents: dict[str, int] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    number: int = 0

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
    making = Making(model, codec, request, context=context, defaults=defaults, preprocess=preprocess)
    return list(each_piece(making, report=report, interrupts=interrupts))


def each_piece(making: Making, *, report: Report = silent, interrupts: Interrupts | None = None) -> Iterator[Piece]:
    """The same, in their order; those that are made together are forgotten before the next ones begin."""
    interrupts = interrupts or Interrupts()
    told = _Told(report, making.plan.each, making.plan.unit, making.request.total)
    for block in making.blocks():
        pieces: dict[int, Piece] = {}
        for numbers, batch in block:
            if interrupts.stop is not None:
                break
            _run(batch, told, interrupts)
            # Of pieces in a form those are missing that had not begun when they were stopped.
            made = zip(numbers, batch.pieces, strict=False)
            pieces |= {number: finish(making, one, number) for number, one in made}
        yield from (pieces[number] for number in sorted(pieces))


def finish(making: Making, made: Made, number: int) -> Piece:
    """The piece of this number, now that it has ended."""
    ids, plan = np.array(made.ids, np.uint16), making.plan
    if plan.gap is not None:
        score = plan.gap.filled(made.ids)
    elif plan.prompt is not None:
        score = making.codec.decode(ids, plan.prompt.maps)
    else:
        score = making.request.wishes.at_tempo(making.codec.decode(ids))
    if making.request.mend:
        for constraint in making.constraints:
            score = constraint.mend(score)
    return Piece(
        score=score,
        ids=ids,
        seed=making.request.seed_of(number),
        nats=made.nats,
        sampled=made.sampled,
        prompt_tokens=len(plan.begin),
        ended=made.ended,
        latents={level.name: level.count(len(ids) - 1) for level in making.model.levels},
        broken=tuple(fault for constraint in making.constraints for fault in constraint.broken(score)),
        number=number,
    )


@dataclass
class _Told:
    """How far all pieces are, in the unit in which the user thinks of their length."""

    report: Report
    each: float
    unit: str
    count: int
    finished: int = 0
    tokens: int = 0

    def __call__(self, done: float = 0.0, *, finished: int = 0) -> None:
        """With so many pieces' worth of music of the present batch, and so many of its pieces whole."""
        total, made = round(self.each * self.count), int(self.each * (self.finished + done))
        note = f"{self.finished + finished} of {self.count} pieces, {self.tokens:,} tokens"
        self.report(Progress("generate", min(made, total), total, self.unit, note))


def _run(batch: Batch | Beams | Formed, told: _Told, interrupts: Interrupts) -> None:
    for _ in batch:
        told.tokens += 1
        if told.tokens % EVENTS_PER_REPORT == 0:
            told(batch.progress(), finished=batch.finished)
        if interrupts.stop is not None:
            batch.stop()
    told.finished += batch.finished
    if interrupts.stop is None:
        told()

"""From a model to finished pieces, batch after batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aurl.generation.engine import MAX_TOKENS, Batch, Ending, Engine, Made
from aurl.generation.length import length_rule
from aurl.generation.prompt import Prompt
from aurl.generation.sampling import Sampler
from aurl.midi.score import Score
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.progress import Interrupts, Progress, Report, silent
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import BOS, STEPS_PER_BEAT

BATCH_SIZE = 16
EVENTS_PER_REPORT = 256


@dataclass(frozen=True)
class Piece:
    """A new piece.

    Args:
        score: prompt and continuation, with the prompt's maps or what the piece's header says.
        ids: BOS … EOS.
        seed: makes the same piece again.
        nats: negative log-likelihood of the sampled ids under the model (temperature 1, nothing masked).
        sampled: how many ids were sampled.
        prompt_tokens: how many ids were given.
        ended: "eos" by itself, "length" as long as asked, "tokens" at the most ids, "stopped" when interrupted.
    """

    score: Score
    ids: NDArray[np.uint16]
    seed: int
    nats: float
    sampled: int
    prompt_tokens: int
    ended: Ending

    @property
    def nats_per_token(self) -> float:
        """Mean over the sampled ids; NaN without any."""
        return self.nats / self.sampled if self.sampled else float("nan")


def make_pieces(  # noqa: PLR0913 - one argument for each limit and condition of a piece
    model: MusicTransformerVAEGAN,
    codec: Codec,
    *,
    context: int,
    seeds: Sequence[int],
    sampler: Sampler,
    seconds: float,
    bars: int | None = None,
    may_end: bool = True,
    prompt: Prompt | None = None,
    max_tokens: int = MAX_TOKENS,
    max_note_beats: float = 0.0,
    report: Report = silent,
    interrupts: Interrupts | None = None,
) -> list[Piece]:
    """One piece for each seed.

    Args:
        model: in evaluation mode.
        codec: of its ids.
        context: the model's training length in tokens.
        seeds: 0 … 2⁶³ − 1.
        sampler: chooses ids.
        seconds: most new music; not asked where `bars` are given.
        bars: most new music, in bars.
        may_end: pieces may end by themselves before that.
        prompt: what all pieces begin with.
        max_tokens: most ids that are sampled for one piece.
        max_note_beats: a note that lasts so long (in time base "seconds": at 120 BPM) is ended; 0: no limit.
        report: told of the seconds or bars that are made.
        interrupts: when it asks to stop, pieces end where they are and those not begun are left out.

    Raises:
        UsageError: a length out of range, or one that the codec cannot count in.
    """
    interrupts = interrupts or Interrupts()
    length = length_rule(codec, seconds=seconds, bars=bars, clock=prompt.clock if prompt else None)
    engine = Engine(
        model,
        Grammar.of(codec, allow_zero_length=False),
        sampler=sampler,
        context=context,
        max_note_steps=round(max_note_beats * STEPS_PER_BEAT) or None,
    )
    told = _Told(report, seconds if bars is None else bars, "seconds" if bars is None else "bars", len(seeds))
    given = prompt.ids if prompt else [BOS]
    pieces: list[Piece] = []
    for begin in range(0, len(seeds), BATCH_SIZE):
        if interrupts.stop is not None:
            break
        chosen = seeds[begin : begin + BATCH_SIZE]
        batch = engine.start(given, seeds=chosen, length=length, may_end=may_end, max_tokens=max_tokens)
        _run(batch, told, interrupts, finished=len(pieces))
        for seed, made in zip(chosen, batch.pieces, strict=True):
            pieces.append(_piece(made, codec, prompt, seed))
    return pieces


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


def _piece(made: Made, codec: Codec, prompt: Prompt | None, seed: int) -> Piece:
    ids = np.array(made.ids, np.uint16)
    given = len(prompt.ids) if prompt else 1
    score = codec.decode(ids, prompt.maps if prompt else None)
    return Piece(score, ids, seed, made.nats, made.sampled, given, made.ended)

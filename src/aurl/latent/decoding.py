"""From latents that were made on purpose to music."""

from collections.abc import Iterator, Sequence
from functools import partial

from aurl.generation.choices import sampler, settle
from aurl.generation.engine import Engine
from aurl.generation.latents import PieceLatents
from aurl.generation.load import Loaded
from aurl.generation.request import Request
from aurl.midi.score import Score
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import STEPS_PER_BEAT

TOGETHER = 32
"""Pieces in one batch: more gain little, and keys and values of all must fit into memory."""


def decode(
    loaded: Loaded,
    latents: Sequence[PieceLatents],
    *,
    steps: Sequence[int],
    seeds: Sequence[int],
    temperature: float | None = None,
) -> list[Score]:
    """One piece for each of these latents, in their order.

    Args:
        loaded: the model that they are of.
        latents: of each piece.
        steps: how long each becomes, ≥ 1.
        seeds: what its ids are drawn with; pieces with the same seed differ by their latents alone.
        temperature: 0 takes the likeliest id each time; the profile's where None, like all else about sampling.
    """
    section = settle(Request(temperature=temperature), loaded.profile.generation)
    engine = Engine(
        loaded.model,
        Grammar.of(loaded.codec, allow_zero_length=False),
        sampler=sampler(section),
        context=loaded.profile.data.seq_len,
        max_note_steps=round(section.max_note_beats * STEPS_PER_BEAT) or None,
    )
    scores: dict[int, Score] = {}
    for length, rows in _batches(steps):
        batch = engine.start(
            seeds=[seeds[row] for row in rows],
            length=partial(_always, length),
            may_end=False,
            latents=partial(_next_of, iter([latents[row] for row in rows])),
        )
        for _ in batch:
            pass
        scores |= {row: loaded.codec.decode(made.ids) for row, made in zip(rows, batch.pieces, strict=True)}
    return [scores[row] for row in range(len(latents))]


def _always(length: int, ids: Sequence[int]) -> int:
    return length


def _next_of(latents: Iterator[PieceLatents], seed: int) -> PieceLatents:
    """The engine asks for them in the order of its seeds, several of which may be the same."""
    return next(latents)


def _batches(steps: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Length and rows of pieces that are equally long, some at a time."""
    for length in sorted(set(steps)):
        rows = [row for row, own in enumerate(steps) if own == length]
        for first in range(0, len(rows), TOGETHER):
            yield length, rows[first : first + TOGETHER]

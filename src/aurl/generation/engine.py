"""The loop: read the prompt, then sample, remember, ask again, until every piece has ended."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from aurl.generation.constraints.kinds import Constraint
from aurl.generation.constraints.mask import GrammarMask
from aurl.generation.context import Context, header_length
from aurl.generation.ending import end_at_length
from aurl.generation.guidance import Guidance, GuidedContext, new_context
from aurl.generation.latents import PieceLatents
from aurl.generation.request import MAX_TOKENS
from aurl.generation.sampling.sampler import Draws, Sampler
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.tokens.grammar import Grammar
from aurl.tokens.rules import Stage
from aurl.tokens.vocabulary import BOS, EOS

SCORED_TOGETHER = 64
"""Steps whose log-likelihoods are taken at once: 64 softmaxes cost little more than one."""
LEAVING_SHARE = 0.75
"""Finished rows are removed when no more than this share still grows. Removing copies the cache; waiting for a quarter
of the rows keeps all copying together below four caches."""
Ending = Literal["", "eos", "length", "tokens", "stopped"]
"""How a piece ended: by itself, at the asked length, at the most tokens, or because the caller stopped."""
LengthRule = Callable[[Sequence[int]], int | None]
"""Ids of a piece up to the end of its header or prompt → steps of new music, None for any number."""
LatentsOfSeed = Callable[[int], PieceLatents]
"""Seed → latents of the piece."""


class Event(NamedTuple):
    """One new id of one piece, in the order in which they are made."""

    piece: int
    id: int


@dataclass
class Made:
    """A piece in the making.

    Args:
        ids: prompt and what followed.
        nats: negative log-likelihood of the sampled ids under the model itself (temperature 1, nothing masked), given
            their latents; guided, where it is.
        sampled: how many ids were sampled; those that close a cut piece are not.
        ended: how it ended; empty while it grows.
    """

    ids: list[int]
    nats: float = 0.0
    sampled: int = 0
    ended: Ending = ""


@dataclass
class _Scores:
    """Logits and what was chosen from them, until there are enough to take their likelihoods together."""

    logits: list[Tensor] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    pieces: list[list[Made | None]] = field(default_factory=list)

    def add(self, logits: Tensor, ids: list[int], pieces: list[Made | None]) -> None:
        self.logits.append(logits)
        self.ids += ids
        self.pieces.append(pieces)
        if len(self.logits) == SCORED_TOGETHER:
            self.settle()

    @torch.inference_mode()
    def settle(self) -> None:
        if not self.logits:
            return
        logits = torch.cat(self.logits).float()
        chosen = torch.tensor(self.ids, device=logits.device)
        likelihoods = logits.log_softmax(-1).gather(1, chosen[:, None])
        owners = [piece for row in self.pieces for piece in row]
        for piece, likelihood in zip(owners, likelihoods[:, 0].tolist(), strict=True):
            if piece is not None:
                piece.nats -= likelihood
        self.logits, self.ids, self.pieces = [], [], []


class Engine:
    """Makes pieces with a model, in batches.

    Args:
        model: in evaluation mode, on the device where it is to run.
        grammar: of the model's ids; every piece keeps to it.
        sampler: chooses ids.
        context: most ids that the model may see at once, its training length.
        max_note_steps: notes that last so long are ended; None: no limit.
        constraints: what pieces keep to beside the grammar.
        guidance: how strongly they are drawn to what was asked; None: as the model is.
    """

    def __init__(
        self,
        model: MusicTransformerVAEGAN,
        grammar: Grammar,
        *,
        sampler: Sampler | None = None,
        context: int = 1024,
        max_note_steps: int | None = None,
        constraints: Sequence[Constraint] = (),
        guidance: Guidance | None = None,
    ) -> None:
        self._model = model
        self._grammar = grammar
        self._sampler = sampler or Sampler()
        self._context = context
        self._max_note_steps = max_note_steps
        self._constraints, self._guidance = constraints, guidance
        self._device = next(model.parameters()).device

    def start(
        self,
        prompt: Sequence[int] = (BOS,),
        *,
        seeds: Sequence[int] = (0,),
        length: LengthRule | None = None,
        may_end: bool = True,
        max_tokens: int = MAX_TOKENS,
        latents: LatentsOfSeed | None = None,
        step: int | None = None,
    ) -> "Batch":
        """Pieces that all begin with `prompt`, one for each seed; nothing is computed before they are iterated.

        Args:
            prompt: BOS first; notes may still sound at its end.
            seeds: one per piece; a piece depends on its own seed only.
            length: how long the new music may become.
            may_end: pieces may end by themselves before that length.
            max_tokens: most ids that are sampled for one piece, ≥ 1.
            latents: where a model with latents has them from; the prior where None.
            step: where new music begins, of a prompt that leaves out a span; what then follows is whole by itself.
        """
        if latents is None and self._model.levels:
            latents = partial(PieceLatents, self._model)
        mask = GrammarMask(self._grammar, len(seeds), self._constraints)
        mask.replay(prompt if step is None else prompt[: header_length(prompt)], step=step)
        context = new_context(
            self._model,
            prompt,
            self._guidance,
            context=self._context,
            batch=len(seeds),
            device=self._device,
            latents=[latents(seed) for seed in seeds] if latents else [],
        )
        return Batch(
            mask,
            context,
            self._sampler,
            device=self._device,
            prompt=list(prompt),
            seeds=seeds,
            length=length or _any_length,
            may_end=may_end,
            max_tokens=max_tokens,
            max_note_steps=self._max_note_steps,
        )


def _any_length(ids: Sequence[int]) -> None:
    """Pieces may become as long as they like."""


class Batch:
    """Pieces that grow together; iterate for their events, look at `pieces` at any time. Made by `Engine.start`."""

    def __init__(
        self,
        mask: GrammarMask,
        context: Context | GuidedContext,
        sampler: Sampler,
        *,
        device: torch.device,
        prompt: list[int],
        seeds: Sequence[int],
        length: LengthRule,
        may_end: bool,
        max_tokens: int,
        max_note_steps: int | None,
    ) -> None:
        self._max_note_steps = max_note_steps
        self.pieces = [Made(list(prompt)) for _ in seeds]
        self._rows = list(enumerate(self.pieces))
        self._sampler, self._length, self._may_end, self._max_tokens = sampler, length, may_end, max_tokens
        self._device = device
        self._draws = Draws(seeds)
        self._mask, self._context = mask, context
        self._scores = _Scores()
        self._stopping = False
        if self._mask.rows[0].stage >= Stage.BODY:
            for row in range(len(seeds)):
                self._limit(row)

    def __iter__(self) -> Iterator[Event]:
        """New ids as they are made, until every piece has ended."""
        logits = self._context.read()
        while not self._stopping:
            histories = [piece.ids for _, piece in self._rows]
            ids = self._sampler(logits, self._mask.bias(self._device), self._draws.step(), histories)
            yield from self._take(logits, ids)
            growing = [row for row, (_, piece) in enumerate(self._rows) if not piece.ended]
            if not growing:
                break
            if len(growing) <= LEAVING_SHARE * len(self._rows):
                ids = [ids[row] for row in growing]
                self._keep(growing)
            logits = self._context.step(ids)
        self._scores.settle()
        for row, (_, piece) in enumerate(self._rows):
            if not piece.ended:
                yield from self._close(row, "stopped")

    @property
    def finished(self) -> int:
        """How many pieces have ended."""
        return sum(bool(piece.ended) for piece in self.pieces)

    def progress(self) -> float:
        """How many pieces' worth of music is made; a piece that grows counts by its share of the asked length."""
        growing = (row for row, (_, piece) in zip(self._mask.rows, self._rows, strict=True) if not piece.ended)
        return self.finished + sum(row.share for row in growing)

    def stop(self) -> None:
        """End every piece at the next step, whole."""
        self._stopping = True

    def _given(self, ids: list[int]) -> set[int]:
        """Rows whose id is not the one that was sampled, which others have taken the place of.

        NOTE_OFFs (and PARTs before them) do so where a note has sounded for too long, and what a constraint demands. A
        model that no longer sees where a note began rarely thinks of ending it. So notes that began before what it
        sees now are ended as soon as others may end; and so are those that have lasted `max_note_steps`.
        """
        given = set()
        longest = self._max_note_steps
        for row, begin in enumerate(self._context.begins):
            released = self._mask.release(row, begin, longest) if begin or longest else None
            chosen = self._mask.forced(row, ids[row]) if released is None else released
            if chosen != ids[row] or released is not None:
                ids[row] = chosen
                given.add(row)
        return given

    def _take(self, logits: Tensor, ids: list[int]) -> Iterator[Event]:
        given = self._given(ids)
        growing = [None if piece.ended or row in given else piece for row, (_, piece) in enumerate(self._rows)]
        self._scores.add(logits, ids, growing)
        for row, ((number, piece), chosen) in enumerate(zip(self._rows, ids, strict=True)):
            if piece.ended:
                continue
            piece.sampled += row not in given
            if self._mask.overruns(row, chosen):
                yield from self._end(row)
                continue
            self._append(row, chosen)
            yield Event(number, chosen)
            if chosen == EOS:
                piece.ended = "eos"
            elif piece.sampled >= self._max_tokens:
                yield from self._close(row, "tokens")
            elif self._mask.rows[row].stage == Stage.BODY:
                self._limit(row)

    def _append(self, row: int, chosen: int) -> None:
        self._rows[row][1].ids.append(chosen)
        self._mask.advance(row, chosen)

    def _end(self, row: int) -> Iterator[Event]:
        """The asked length is reached."""
        number, piece = self._rows[row]
        added = end_at_length(self._mask, row, piece.ids)
        piece.ended = "length"
        yield from (Event(number, chosen) for chosen in added)

    def _close(self, row: int, ending: Ending) -> Iterator[Event]:
        number, piece = self._rows[row]
        closing = self._mask.closing(row)
        piece.ids += closing
        piece.ended = ending
        yield from (Event(number, chosen) for chosen in closing)

    def _limit(self, row: int) -> None:
        """Now that the row's header is complete, find out how long it may become."""
        _, piece = self._rows[row]
        self._mask.end_after(row, self._length(piece.ids), may_end=self._may_end)

    def _keep(self, rows: list[int]) -> None:
        self._rows = [self._rows[row] for row in rows]
        self._mask.keep(rows)
        self._draws.keep(rows)
        self._context.keep(rows)

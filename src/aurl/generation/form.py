"""Pieces in sections, of which some come back: AABA and the like.

A window of 1,024 ids holds some fifteen bars of piano music, so a model cannot remember by itself what it played a
minute ago. What comes back is therefore what was played, but for its last bars: they are made anew, like second
endings, so that it leads on to what follows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from aurl.errors import UsageError
from aurl.generation.context import elapsed_steps, header_length
from aurl.generation.engine import Engine, LatentsOfSeed, Made
from aurl.generation.length import length_rule
from aurl.generation.request import MAX_TOKENS
from aurl.tokens.codec import Codec
from aurl.tokens.positions import elapsed_steps as steps_at
from aurl.tokens.velocity import DEFAULT_BIN
from aurl.tokens.vocabulary import BOS, EOS, MAX_SHIFT_STEPS, NOTE_ON, PART, TIME_SHIFT, VELOCITY, Group

USUALLY_FRESH = 2
"""Bars that are made anew, as second endings are."""
LatentsAfter = Callable[[Sequence[int]], LatentsOfSeed]
"""What has been made of a piece → where what follows has its latents from."""


@dataclass(frozen=True)
class Form:
    """The order of sections.

    Args:
        sections: a letter for each; equal letters are equal music.
        bars: how long each is.
        fresh: how many bars at the end of what comes back are made anew; 0: none; None: two, of short sections fewer.

    Raises:
        UsageError: there is no section, one is no letter, none lasts, or nothing of it would come back.
    """

    sections: str
    bars: int = 8
    fresh: int | None = None

    def __post_init__(self) -> None:
        if not (self.sections.isascii() and self.sections.isalpha()):
            raise UsageError(f'"{self.sections}" is no form', hint="give a letter for each section: --form AABA")
        if self.bars < 1:
            raise UsageError(f"sections of {self.bars} bars are none", hint="give 1 or more: --form AABA,bars=8")
        if not 0 <= self.fresh_bars < self.bars:
            raise UsageError(
                f"{self.fresh_bars} of {self.bars} bars cannot be made anew where a section comes back",
                hint=f"give 0 to {self.bars - 1}, as in --form AABA,fresh=0",
            )

    @property
    def fresh_bars(self) -> int:
        """The same number, where it was left open, too."""
        return min(USUALLY_FRESH, self.bars - 1) if self.fresh is None else self.fresh


class _Played(NamedTuple):
    """A section as it was played first.

    Args:
        ids: from its first bar line on.
        part: in force there.
        velocity: level in force there.
    """

    ids: list[int]
    part: int
    velocity: int


class Sections:
    """Makes pieces in a form, one after the other.

    Args:
        engine: makes what is new.
        codec: of its ids; it must be able to count bars.
        form: of all pieces.
        latents: of what follows the ids that there are; None for a model without latents.
        max_tokens: most ids that are sampled for one piece, which ends there.

    Raises:
        UsageError: nothing says how long a bar is.
    """

    def __init__(
        self,
        engine: Engine,
        codec: Codec,
        form: Form,
        *,
        latents: LatentsAfter | None = None,
        max_tokens: int = MAX_TOKENS,
    ) -> None:
        self._engine, self._form, self._latents, self._max_tokens = engine, form, latents, max_tokens
        self._bars = [length_rule(codec, bars=bar + 1) for bar in range(form.bars * len(form.sections))]

    def make(self, seed: int) -> Made:
        """The piece of this seed."""
        made = Made([BOS])
        first: dict[str, _Played] = {}
        for number, letter in enumerate(self._form.sections):
            played = first.get(letter)
            if played is not None:
                made.ids = _joined(made.ids, self._kept(played, made.ids, number))
            begin = len(made.ids)
            if played is None or self._form.fresh_bars:
                self._go_on(made, number, seed)
            if made.sampled >= self._max_tokens:
                made.ended = "tokens"
                break
            made.ids = _waiting(made.ids, self._until(made.ids, number))
            if played is None:
                begin = max(begin, header_length(made.ids))
                first[letter] = _Played(made.ids[begin:], *_state(made.ids[:begin]))
        made.ids, made.ended = [*_without_waiting(made.ids), EOS], made.ended or "length"
        return made

    def _until(self, ids: Sequence[int], number: int, less: int = 0) -> int:
        """The step at which the section of this number ends, or so many bars before that."""
        return self._bars[(number + 1) * self._form.bars - 1 - less](ids) or 0

    def _kept(self, played: _Played, ids: Sequence[int], number: int) -> _Played:
        """What is to come back of a section, up to the last event before the bars that are made anew."""
        if not self._form.fresh_bars:
            return played
        cut = self._until(ids, number, self._form.fresh_bars) - elapsed_steps(ids)
        return played._replace(ids=np.asarray(played.ids)[steps_at(played.ids) < cut].tolist())

    def _go_on(self, made: Made, number: int, seed: int) -> None:
        """Make what is missing of the section."""
        batch = self._engine.start(
            made.ids,
            seeds=[_seed(seed, number)],
            length=lambda ids: self._until(ids, number) - elapsed_steps(ids),
            may_end=False,
            max_tokens=self._max_tokens - made.sampled,
            latents=self._latents(made.ids) if self._latents else None,
        )
        for _ in batch:
            pass
        (piece,) = batch.pieces
        made.ids = piece.ids[:-1]
        made.nats += piece.nats
        made.sampled += piece.sampled


def _joined(ids: list[int], played: _Played) -> list[int]:
    """What there is, and then what was played: PART and VELOCITY are told where they differ, times are added up."""
    first = next((place for place, one in enumerate(played.ids) if _is(one, NOTE_ON)), None)
    if first is None:
        return ids
    lead = played.ids[:first]
    part, velocity = _last(lead, PART, played.part), _last(lead, VELOCITY, played.velocity)
    told = [one for one in lead if not (_is(one, PART) or _is(one, VELOCITY) or _is(one, TIME_SHIFT))]
    now = _state(ids)
    told += [PART.start + part] * (part != now.part) + [VELOCITY.start + velocity] * (velocity != now.velocity)
    rest = played.ids[first:]
    again = next((place for place, one in enumerate(rest) if _is(one, VELOCITY)), len(rest))
    if again < len(rest) and rest[again] - VELOCITY.start == velocity:  # nothing had been told before, now it has
        del rest[again]
    return [*_waiting(ids, elapsed_steps(ids) + elapsed_steps(lead)), *told, *rest]


def _waiting(ids: list[int], until: int) -> list[int]:
    """The ids, and then TIME_SHIFTs up to a step, of which only the last may be short."""
    events = _without_waiting(ids)
    whole, rest = divmod(until - elapsed_steps(events), MAX_SHIFT_STEPS)
    return events + [TIME_SHIFT.stop - 1] * whole + ([TIME_SHIFT.start + rest - 1] if rest else [])


def _without_waiting(ids: list[int]) -> list[int]:
    last = next((place for place in range(len(ids) - 1, -1, -1) if not _is(ids[place], TIME_SHIFT)), -1)
    return ids[: last + 1]


class _State(NamedTuple):
    part: int
    velocity: int


def _state(ids: list[int]) -> _State:
    """What is in force behind ids; parts in the header are only declared."""
    body = ids[header_length(ids) :]
    return _State(_last(body, PART, 0), _last(body, VELOCITY, DEFAULT_BIN))


def _last(ids: Sequence[int], group: Group, otherwise: int) -> int:
    """The last value of a group that is told."""
    return next((one - group.start for one in reversed(ids) if _is(one, group)), otherwise)


def _is(one: int, group: Group) -> bool:
    return group.start <= one < group.stop


def _seed(seed: int, number: int) -> int:
    """Of one section of a piece."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0] >> 1)

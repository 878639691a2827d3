"""What training tells of a window, some of it forgotten, so that all of it can be asked for and none of it need be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aurl.augment.notes import Ids, PassageNotes, read_notes
from aurl.augment.passage import Passage
from aurl.controls.chords import Chords, chords_of, with_chords
from aurl.controls.facts import Played, fact_value
from aurl.controls.spans import Span, arrange, divide, without_end
from aurl.tokens.codec import Codec
from aurl.tokens.header import HEADERS
from aurl.tokens.positions import bar_length
from aurl.tokens.vocabulary import CHORD, DRUM_PROGRAM, FACTS, GROUPS, MASK, MAX_PARTS, PROGRAM, SEP, Fact, Header

TOLD: tuple[Header | Fact, ...] = (*HEADERS, *(name for name in FACTS if name not in HEADERS))
"""All that a header can tell, in the order in which it stands there."""
CHORD_SHARE = 24
"""A window of so many ids is left room for one chord; songs of two chords in a bar of 45 ids have about as many."""
SPAN_ROOM = 16
"""Ids that a span costs: its marks, and parts and levels that are told again."""
MAX_SPAN_UNITS = 8
"""Bars of the longest span that is left out."""
LEAST_UNIT = 64
"""Steps: two beats. Files that tell a meter of 1/4 are many, and a bar of it is no part of a form."""
UNIT_WITHOUT_BARS = 128
"""Steps in place of a bar where nobody knows bars: two seconds."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The notes of a passage, and what is told of them.

    Args:
        notes: all of them.
        played: those that are measured.
        start_step: where the passage begins.
        bar_steps: how long a bar is, None where nobody knows.
        left_out: steps of it that are not there to be measured.
    """

    notes: PassageNotes
    played: Played
    start_step: int
    bar_steps: int | None
    left_out: int = 0

    @classmethod
    def of(cls, passage: Passage, codec: Codec) -> "Heard":
        """What is heard in a passage of a codec's ids."""
        header, body, start = passage.ids[: passage.header], passage.ids[passage.header :], passage.start_step
        notes = read_notes(body, start_step=start, part=passage.part, velocity=passage.velocity)
        played = Played.of(notes, start_step=start, is_drum=drum_parts(header, is_drum=passage.is_drum))
        return cls(notes, played, start, int(bar_length(header)) if codec.time_base == "beats" else None)

    def without(self, span: Span) -> "Heard":
        """The same music as if the span were not there, nor the time that it takes."""
        onset = self.played.onset
        played = self.played.taken((onset < span.begin) | (onset >= span.end))
        return replace(self, played=played, left_out=span.end - span.begin)

    def facts(self, names: Sequence[Fact]) -> dict[Header | Fact, int | None]:
        """Fact → its value."""
        measured = replace(self.played, steps=max(self.played.steps - self.left_out, 1))
        return {name: fact_value(name, measured) for name in names}

    def chords(self) -> Chords:
        """The chord of each span."""
        return chords_of(self.played, start_step=self.start_step, bar_steps=self.bar_steps)


class Controls:
    """Passages → passages that tell what a codec tells beside the music.

    Args:
        codec: of the streams that are learned.
        forget: chance of each fact, and of the chords, that MASK stands in its place.
        forget_all: chance that all of them are forgotten together, what the data set's own header tells among them.
        infill: chance of a window that a span is told at its end.
        seq_len: most ids of a window, less one; what does not fit is cut off at the end.
    """

    def __init__(
        self, codec: Codec, *, seq_len: int, forget: float = 0.0, forget_all: float = 0.0, infill: float = 0.0
    ) -> None:
        self._codec = codec
        self._seq_len = seq_len
        self._forget, self._forget_all, self._infill = forget, forget_all, infill

    @property
    def room(self) -> int:
        """How many ids of a window are kept free for what is told."""
        chords = self._seq_len // CHORD_SHARE * self._codec.chords
        return len(self._codec.facts) + chords + SPAN_ROOM * self._codec.infill + 1

    def __call__(self, passage: Passage, rng: np.random.Generator | None = None) -> Passage:
        """The passage with all that is told; with `rng`, some of it forgotten and perhaps a span told last."""
        body, heard = passage.ids[passage.header :], Heard.of(passage, self._codec)
        told = with_facts(passage.ids[: passage.header], heard.facts(self._codec.facts))
        forgotten = self._forgotten(rng)
        chords = heard.chords() if self._codec.chords else None
        notes = heard.notes
        span = self._span(notes, passage.start_step, heard.bar_steps, rng)
        if span is None:
            body, place = self._chorded(body, chords, passage.start_step, is_told=not forgotten[CHORD.start])
            moved = int((place < passage.context - passage.header).sum())
            context = passage.context + len(told) - passage.header + moved if passage.context > 1 else 1
        else:
            body = self._around(passage, notes, span, chords, is_told=not forgotten[CHORD.start])
            context = len(told) + 1 if passage.context > 1 else 1
        ids = np.concatenate([np.where(forgotten[told], np.uint16(MASK), told), body])[: self._seq_len + 1]
        return replace(passage, ids=ids, header=len(told), context=context)

    def _forgotten(self, rng: np.random.Generator | None) -> NDArray[np.bool_]:
        """Which ids are told as MASK, by id."""
        forgotten = np.zeros(max(GROUPS[name].stop for name in GROUPS), np.bool_)
        if rng is None:
            return forgotten
        groups = [*(GROUPS[name] for name in TOLD), CHORD]
        chances = rng.random(len(groups))
        everything = rng.random() < self._forget_all
        for group, chance in zip(groups, chances, strict=True):
            forgotten[group.start : group.stop] = everything or chance < self._forget
        return forgotten

    def _span(
        self, notes: PassageNotes, start_step: int, bar_steps: int | None, rng: np.random.Generator | None
    ) -> Span | None:
        """Some bars that have notes, and music behind them; None where no span is told, or none could be."""
        if rng is None or rng.random() >= self._infill:
            return None
        unit = UNIT_WITHOUT_BARS if bar_steps is None else bar_steps * -(-LEAST_UNIT // bar_steps)
        first, last = -(-start_step // unit), notes.end // unit
        longest = min(MAX_SPAN_UNITS, (last - first) // 2)
        if longest < 1:
            return None
        size = int(rng.integers(1, longest + 1))
        begin = int(rng.integers(first, last - size)) * unit
        span = Span(begin, begin + size * unit)
        inside = notes.begins & (notes.onset >= span.begin) & (notes.onset < span.end)
        behind = notes.begins & (notes.onset >= span.end)
        return span if inside.any() and behind.any() else None

    def _around(
        self, passage: Passage, notes: PassageNotes, span: Span, chords: Chords | None, *, is_told: bool
    ) -> Ids:
        """A body that tells a span last; what follows it is shortened where all would not fit."""
        sides = divide(
            notes,
            span,
            start_step=passage.start_step,
            part=passage.part,
            velocity=passage.velocity,
            parts=self._codec.parts,
        )
        begins = (passage.start_step, span.begin, span.end)
        left, middle, right = (
            self._chorded(body, chords, begin, is_told=is_told)[0]
            for body, begin in zip((sides.left, sides.middle, without_end(sides.right)), begins, strict=True)
        )
        fixed = len(arrange(left, span, right[:0])) + len(middle) + passage.header + len(self._codec.facts) + 1
        shortened = right[: max(self._seq_len + 1 - fixed, 0)]
        return np.concatenate([arrange(left, span, shortened), middle])

    def _chorded(
        self, body: Ids, chords: Chords | None, start_step: int, *, is_told: bool
    ) -> tuple[Ids, NDArray[np.int64]]:
        if chords is None:
            return body, np.empty(0, np.int64)
        ids, place = with_chords(body, chords, start_step=start_step)
        if not is_told:
            ids = np.where((ids >= CHORD.start) & (ids < CHORD.stop), np.uint16(MASK), ids)
        return ids, place


def with_facts(header: Ids, values: Mapping[Header | Fact, int | None]) -> Ids:
    """A header that tells values, where there are any, each in its place and instead of what was told there before.

    It ends with SEP, whether it did so before or not.
    """
    told: list[int] = []
    rest = header[1:]
    for name in TOLD:
        group, value = GROUPS[name], values.get(name)
        known = rest[(rest >= group.start) & (rest < group.stop)]
        rest = rest[(rest < group.start) | (rest >= group.stop)]
        told += known[:1].tolist() if value is None else [group.start + value]
    end = [] if len(rest) and rest[-1] == SEP else [SEP]
    return np.array([*header[:1].tolist(), *told, *rest.tolist(), *end], np.uint16)


def drum_parts(header: Ids, *, is_drum: bool) -> NDArray[np.bool_]:
    """`(32,)`: which parts are drum kits; `is_drum`: all of them, which ids without parts do not say."""
    result = np.full(MAX_PARTS, is_drum)
    programs = header[(header >= PROGRAM.start) & (header < PROGRAM.stop)]
    result[: len(programs)] |= programs == PROGRAM.start + DRUM_PROGRAM
    return result

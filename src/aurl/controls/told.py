"""What training tells of a window, some of it forgotten, so that all of it can be asked for and none of it need be."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aurl.augment.notes import Ids, PassageNotes, read_notes
from aurl.augment.passage import Passage
from aurl.controls.chords import Chords, chords_of, with_chords
from aurl.controls.facts import Played, fact_value
from aurl.controls.spans import Span, arrange, divide, without_end
from aurl.tokens.codec import Codec
from aurl.tokens.positions import bar_length
from aurl.tokens.vocabulary import (
    CHORD,
    DRUM_PROGRAM,
    GROUPS,
    KEY,
    MASK,
    MAX_PARTS,
    PART,
    PROGRAM,
    SEP,
    TEMPO,
    TIME_SIGNATURE,
    Fact,
)

FACTS_IN_FRONT = (TEMPO, TIME_SIGNATURE, KEY)
"""What a header tells before the facts that are measured."""
CHORD_SHARE = 24
"""A window of so many ids is left room for one chord; songs of two chords in a bar of 45 ids have about as many."""
SPAN_ROOM = 16
"""Ids that a span costs: its marks, and parts and levels that are told again."""
MAX_SPAN_UNITS = 8
"""Bars of the longest span that is left out."""
UNIT_WITHOUT_BARS = 128
"""Steps in place of a bar where nobody knows bars: two seconds."""


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
        header, body = passage.ids[: passage.header], passage.ids[passage.header :]
        notes = read_notes(body, start_step=passage.start_step, part=passage.part, velocity=passage.velocity)
        played = Played.of(notes, start_step=passage.start_step, is_drum=drum_parts(header, is_drum=passage.is_drum))
        bar_steps = int(bar_length(header)) if self._codec.time_base == "beats" else None
        values = {name: fact_value(name, played) for name in self._codec.facts}
        told = with_facts(header, values)
        forgotten = self._forgotten(told, rng)
        chords = chords_of(played, start_step=passage.start_step, bar_steps=bar_steps) if self._codec.chords else None
        span = self._span(notes, passage.start_step, bar_steps, rng)
        if span is None:
            body, place = self._chorded(body, chords, passage.start_step, is_told=not forgotten[CHORD.start])
            moved = int((place < passage.context - passage.header).sum())
            context = passage.context + len(told) - passage.header + moved if passage.context > 1 else 1
        else:
            body = self._around(passage, notes, span, chords, is_told=not forgotten[CHORD.start])
            context = len(told) + 1 if passage.context > 1 else 1
        ids = np.concatenate([np.where(forgotten[told], np.uint16(MASK), told), body])[: self._seq_len + 1]
        return replace(passage, ids=ids, header=len(told), context=context)

    def _forgotten(self, header: Ids, rng: np.random.Generator | None) -> NDArray[np.bool_]:
        """Which ids are told as MASK, by id."""
        forgotten = np.zeros(max(GROUPS[name].stop for name in GROUPS), np.bool_)
        if rng is None:
            return forgotten
        groups = [*FACTS_IN_FRONT, *(GROUPS[name] for name in self._codec.facts if name != "key"), CHORD]
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
        unit = bar_steps or UNIT_WITHOUT_BARS
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


def with_facts(header: Ids, values: Mapping[Fact, int | None]) -> Ids:
    """A header that tells values, where there are any, in front of its PARTs; a measured key replaces another.

    It ends with SEP, whether it did so before or not.
    """
    told = [GROUPS[name].start + value for name, value in values.items() if value is not None]
    kept = header[(header < KEY.start) | (header >= KEY.stop)] if values.get("key") is not None else header
    if kept[-1] != SEP:
        kept = np.append(kept, np.uint16(SEP))
    place = int(np.flatnonzero((kept == SEP) | _is_part(kept))[0])
    return np.insert(kept, place, np.array(told, np.uint16))


def _is_part(ids: Ids) -> NDArray[np.bool_]:
    return (ids >= PART.start) & (ids < PART.stop)


def drum_parts(header: Ids, *, is_drum: bool) -> NDArray[np.bool_]:
    """`(32,)`: which parts are drum kits; `is_drum`: all of them, which ids without parts do not say."""
    result = np.full(MAX_PARTS, is_drum)
    programs = header[(header >= PROGRAM.start) & (header < PROGRAM.stop)]
    result[: len(programs)] |= programs == PROGRAM.start + DRUM_PROGRAM
    return result

"""Voices, and the note values that they are written in: ties over bar lines, triplets where a beat has them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np

from aurl.midi.score import Ints, Notes

TYPES = ("breve", "whole", "half", "quarter", "eighth", "16th", "32nd", "64th", "128th", "256th", "512th", "1024th")
QUARTER = TYPES.index("quarter")
LONGEST = 12
"""Quarters of the longest value, a dotted breve."""


class Value(NamedTuple):
    """A note value: its name, with a dot, in a triplet."""

    type: str
    is_dotted: bool
    is_triplet: bool


@dataclass(frozen=True, slots=True)
class Symbol:
    """A rest, a note or a chord as it is written.

    Args:
        begin: in divisions.
        end: in divisions.
        value: how it is written; None: a rest of a whole bar.
        notes: positions in the table of notes, lowest first; empty for a rest.
        tuplet_begins: it is the first of a triplet.
        tuplet_ends: it is the last of a triplet.
    """

    begin: int
    end: int
    value: Value | None
    notes: tuple[int, ...]
    tuplet_begins: bool = False
    tuplet_ends: bool = False


def voices(notes: Notes) -> list[list[int]]:
    """Positions of the notes of one or two voices: chords that do not overlap while that goes.

    Chords go, from the top, to the first voice that is silent; what finds none silent joins the second, which is
    then written with ties.
    """
    rows = zip(notes.onset.tolist(), notes.offset.tolist(), notes.pitch.tolist(), range(len(notes)), strict=True)
    chords = {times: list(chord) for times, chord in groupby(sorted(rows), key=lambda row: row[:2])}
    ordered = sorted(chords.items(), key=lambda item: (item[0][0], -item[1][-1][2]))
    made: list[list[int]] = [[], []]
    ends = [0, 0]
    for (onset, end), chord in ordered:
        voice = next((voice for voice, until in enumerate(ends) if until <= onset), 1)
        made[voice] += [row[-1] for row in chord]
        ends[voice] = max(ends[voice], end)
    return [voice for voice in made if voice] or [[]]


def written(notes: Notes, voice: Sequence[int], bars: Ints, divisions: int) -> Iterator[list[Symbol]]:
    """The symbols of a voice in each bar, which they fill.

    Args:
        notes: of the staff, in divisions.
        voice: positions of the notes of the voice.
        bars: where bars begin, and where the last one ends.
        divisions: of a quarter note, 3·2ᵏ.
    """
    stretches = list(_stretches(notes, voice, bars))
    place = 0
    for begin, end in pairwise(bars.tolist()):
        mine = []
        while place < len(stretches) and stretches[place][0] < end:
            mine.append(stretches[place])
            place += 1
        yield list(_bar(mine, begin, end, divisions))


Stretch = tuple[int, int, tuple[int, ...]]
"""(begin, end, notes that sound throughout)."""


def _stretches(notes: Notes, voice: Sequence[int], bars: Ints) -> Iterator[Stretch]:
    """The time of the piece, cut wherever a note of the voice begins or ends and at bar lines."""
    mine = notes.take(np.sort(np.asarray(voice, np.int64))) if len(voice) else Notes()
    index = sorted(voice)
    onset, offset = mine.onset.tolist(), mine.offset.tolist()
    times = np.unique(np.concatenate([bars, mine.onset, mine.offset])).tolist()
    sounding: list[int] = []
    following = 0
    for begin, end in pairwise(times):
        sounding = [row for row in sounding if offset[row] > begin]
        while following < len(onset) and onset[following] == begin:
            sounding.append(following)
            following += 1
        yield begin, end, tuple(index[row] for row in sorted(sounding, key=lambda row: mine.pitch[row]))


def _bar(stretches: Sequence[Stretch], begin: int, end: int, divisions: int) -> Iterator[Symbol]:
    """The symbols of one bar."""
    if not any(sounding for _, _, sounding in stretches):
        yield Symbol(begin, end, None, ())
        return
    triplets = {cut // divisions for cut, _, _ in stretches if cut % 3}
    edges = sorted({edge for beat in triplets for edge in (beat * divisions, (beat + 1) * divisions)})
    symbols = [symbol for stretch in stretches for symbol in _symbols(stretch, begin, edges, triplets, divisions)]
    for beat, group in groupby(symbols, key=lambda symbol: symbol.value and _beat(symbol, divisions)):
        run = list(group)
        for place, symbol in enumerate(run):
            first, last = beat is not None and not place, beat is not None and place == len(run) - 1
            yield Symbol(symbol.begin, symbol.end, symbol.value, symbol.notes, first, last)


def _beat(symbol: Symbol, divisions: int) -> int | None:
    """The beat whose triplet a symbol is part of."""
    return symbol.begin // divisions if symbol.value and symbol.value.is_triplet else None


def _symbols(stretch: Stretch, bar: int, edges: Sequence[int], triplets: set[int], divisions: int) -> Iterator[Symbol]:
    begin, end, sounding = stretch
    inside = [edge for edge in edges if begin < edge < end]
    quarter = 2 * divisions // 3
    for low, high in pairwise([begin, *inside, end]):
        is_triplet = low // divisions in triplets
        # Units are a third of a triplet's beat and two thirds of a straight one's: both are powers of two.
        origin, scale = (low // divisions * divisions, 1) if is_triplet else (bar, 2 / 3)
        parts = _parts(round((low - origin) * scale), round((high - origin) * scale), quarter)
        for a, b in parts:
            size = b - a
            value = _value(size, quarter, is_triplet=is_triplet)
            yield Symbol(origin + round(a / scale), origin + round(b / scale), value, sounding)


@cache
def _parts(begin: int, end: int, quarter: int) -> tuple[tuple[int, int], ...]:
    """A length as lengths that have note values, cut where the bar is cut most strongly.

    A value may begin off its beat by half of itself, as in eighth – quarter – eighth.
    """
    size = end - begin
    power = 1 << (size.bit_length() - 1)
    if (size == power or 2 * size == 3 * power) and size <= LONGEST * quarter and begin % max(power // 2, 1) == 0:
        return ((begin, end),)
    step = 1 << ((end - 1).bit_length() - 1)
    while (cut := (end - 1) // step * step) <= begin:
        step //= 2
    return _parts(begin, cut, quarter) + _parts(cut, end, quarter)


def _value(size: int, quarter: int, *, is_triplet: bool) -> Value:
    power = 1 << (size.bit_length() - 1)
    name = TYPES[QUARTER + quarter.bit_length() - power.bit_length()]
    return Value(name, size != power, is_triplet)

"""A written piece, bar by bar → the Score that is heard when it is played."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Literal, NamedTuple

import numpy as np

from aurl.midi.reasons import Rejected, RejectReason
from aurl.midi.repeats import Signs, playing_order
from aurl.midi.score import KeySignatures, Notes, Score, Tempos, Text, TimeSignatures, Track
from aurl.midi.skim import MAX_EVENTS, MAX_TICKS

TICKS_PER_BEAT = 10_080
"""2⁵·3²·5·7: 128th notes, triplets, quintuplets and septuplets begin on whole ticks."""
_PITCHES = 128
_TIED, _TYING = ("stop", "continue"), ("start", "continue")
GRACE_TICKS = TICKS_PER_BEAT // 8
"""How long a grace note lasts at most."""

Kind = Literal["tempo", "meter", "key"]
Values = tuple[int, ...]
MARKER = -1
"""Stands for the part of a text that is no part's."""


class WrittenNote(NamedTuple):
    """One note head.

    Args:
        tick: from the bar line.
        duration: ticks.
        pitch: as it sounds; what MIDI has no number for is left out.
        velocity: 1–127.
        part: place in the list of instruments.
        tie: with what comes before ("stop"), after ("start"), or both ("continue").
        grace: number of the grace note or chord in its bar; 0: an ordinary note.
    """

    tick: int
    duration: int
    pitch: int
    velocity: int
    part: int
    tie: str = ""
    grace: int = 0


class Change(NamedTuple):
    """A tempo (microseconds per beat), meter (numerator, denominator) or key (fifths, minor) from a tick of a bar."""

    tick: int
    kind: Kind
    values: Values


class Word(NamedTuple):
    """A syllable of a part, or of the whole piece (`MARKER`)."""

    tick: int
    part: int
    text: str


class Instrument(NamedTuple):
    """Who plays a part."""

    name: str
    program: int
    is_drum: bool


@dataclass(slots=True)
class WrittenBar:
    """What all parts have in one bar; `length` in ticks."""

    length: int = 0
    notes: list[WrittenNote] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    signs: Signs = field(default_factory=Signs)


class _Played(NamedTuple):
    """A bar when it is played: tick of its bar line, its turn in the order, and the bar."""

    start: int
    turn: int
    bar: WrittenBar


def perform(bars: Sequence[WrittenBar], instruments: Sequence[Instrument]) -> tuple[Score, Counter[str]]:
    """The piece as it sounds, and what had to be repaired for it.

    Repeats are written out. A pick-up stands at the end of a whole bar. Tied notes are one note. Grace notes sound
    before the note that they belong to. Where a bar line is not where the meter would have it, the meter is set again.

    Raises:
        Rejected: it lasts too long, has too many notes, or something stands before its beginning.
    """
    order = playing_order([bar.signs for bar in bars])
    played = _played(bars, order)
    rows: list[list[tuple[int, WrittenNote, int]]] = [[] for _ in instruments]
    lyrics: list[list[Text]] = [[] for _ in instruments]
    markers: list[Text] = []
    for start, turn, bar in played:
        for note in bar.notes:
            rows[note.part].append((start + note.tick, note, turn))
        for word in bar.words:
            (markers if word.part == MARKER else lyrics[word.part]).append(Text(start + word.tick, word.text))
    repairs: Counter[str] = Counter()
    tracks = tuple(
        Track(_notes(part, repairs), who.program, who.is_drum, who.name, lyrics=tuple(sorted(sung, key=_tick)))
        for who, part, sung in zip(instruments, rows, lyrics, strict=True)
        if part
    )
    maps = _maps(bars, order, played)
    score = Score(TICKS_PER_BEAT, tracks, *maps, tuple(sorted(markers, key=_tick)))
    return score, repairs


def _tick(text: Text) -> int:
    return text.tick


def _played(bars: Sequence[WrittenBar], order: Sequence[int]) -> list[_Played]:
    played, start, notes = [], _pick_up_rest(bars), 0
    for turn, at in enumerate(order):
        bar = bars[at]
        played.append(_Played(start, turn, bar))
        begins = [note.tick for note in bar.notes] + [word.tick for word in bar.words]
        begins += [change.tick for change in bar.changes]
        if start + min(begins, default=0) < 0:
            raise Rejected(RejectReason.MALFORMED, "something stands before its beginning")
        ends = [note.tick + note.duration for note in bar.notes]
        notes += len(ends)
        if max(ends, default=0) + start + bar.length >= MAX_TICKS:
            raise Rejected(RejectReason.TICK_OVERFLOW, "it would last for days")
        if notes > MAX_EVENTS:
            raise Rejected(RejectReason.TOO_MANY_EVENTS, f"more than {MAX_EVENTS} notes")
        start += bar.length
    return played


def _pick_up_rest(bars: Sequence[WrittenBar]) -> int:
    """Ticks that the first bar lacks."""
    meters = [change.values for change in bars[0].changes if change.kind == "meter" and not change.tick] if bars else []
    return max(_bar_ticks(meters[-1]) - bars[0].length, 0) if meters and len(bars) > 1 else 0


def _bar_ticks(meter: Values) -> int:
    numerator, denominator = meter
    return 4 * numerator * TICKS_PER_BEAT // denominator


def _notes(part: list[tuple[int, WrittenNote, int]], repairs: Counter[str]) -> Notes:
    part.sort(key=lambda row: row[0])  # stable: grace notes stay in order
    table: list[list[int]] = []
    held: dict[tuple[int, int], list[int]] = {}  # (pitch, end) → rows of `table` that are tied to what comes then
    for onset, group in groupby(part, key=lambda row: row[0]):
        found = list(group)
        table += _graces(onset, [(turn, note) for _, note, turn in found if note.grace], repairs)
        # In many files a tie has only a beginning; those with an end find theirs first.
        heads = sorted((note for _, note, _ in found if not note.grace), key=lambda note: note.tie not in _TIED)
        for note in heads:
            rows = held.pop((note.pitch, onset), [])
            for row in rows:
                table[row][1] += note.duration
            if not rows:
                rows = [len(table)]
                table.append([onset, note.duration, note.pitch, note.velocity])
            if note.tie in _TYING:
                held.setdefault((note.pitch, onset + note.duration), []).extend(rows)
    heard = [row for row in table if 0 <= row[2] < _PITCHES]
    repairs.update({"inaudible_notes": len(table) - len(heard)} if len(heard) < len(table) else {})
    return Notes(*np.array(heard, np.int64).reshape(-1, 4).T).ordered()


def _graces(onset: int, graces: list[tuple[int, WrittenNote]], repairs: Counter[str]) -> list[list[int]]:
    """Rows of the grace notes before `onset`, one after another; at the very start there is no time for them."""
    slots = {key: slot for slot, key in enumerate(dict.fromkeys((turn, note.grace) for turn, note in graces))}
    length = min(GRACE_TICKS, onset // max(len(slots), 1))
    if not length:
        repairs.update({"grace_notes": len(graces)} if graces else {})
        return []
    begin = onset - len(slots) * length
    return [[begin + slots[turn, note.grace] * length, length, note.pitch, note.velocity] for turn, note in graces]


def _maps(
    bars: Sequence[WrittenBar], order: Sequence[int], played: Sequence[_Played]
) -> tuple[Tempos, TimeSignatures, KeySignatures]:
    """What is in force from when on; after a leap it is what the bar is written under."""
    in_force = _in_force(bars)
    found: dict[Kind, dict[int, Values]] = {"tempo": {}, "meter": {}, "key": {}}
    first = played[0].start if played else 0
    for at, (start, _, bar) in zip(order, played, strict=True):
        for tick, kind, values in (*in_force[at], *bar.changes):
            found[kind][0 if start + tick <= first else start + tick] = values
    rows = {kind: _changes(rows) for kind, rows in found.items()}
    meters = _on_bar_lines(dict(rows["meter"]), played)
    return Tempos(*_columns(rows["tempo"], 2)), TimeSignatures(*_columns(meters, 3)), _keys(rows["key"])


def _in_force(bars: Sequence[WrittenBar]) -> list[list[Change]]:
    """For each bar what was last set before it, as changes at its beginning."""
    state: dict[Kind, Change] = {}
    found = []
    for bar in bars:
        found.append(list(state.values()))
        state.update({change.kind: change._replace(tick=0) for change in bar.changes})
    return found


def _changes(rows: dict[int, Values]) -> list[tuple[int, Values]]:
    """The rows in order of tick, without those that change nothing."""
    ordered = sorted(rows.items())
    return ordered[:1] + [row for before, row in pairwise(ordered) if row[1] != before[1]]


def _on_bar_lines(meters: dict[int, Values], played: Sequence[_Played]) -> list[tuple[int, Values]]:
    """The meters, and again where a whole bar begins elsewhere than the meter before it would have it."""
    meter, origin = meters.get(0), 0
    for start, _, bar in played:
        if start in meters:
            meter, origin = meters[start], start
        elif meter and (ticks := _bar_ticks(meter)) and (start - origin) % ticks and bar.length >= ticks:
            meters[start], origin = meter, start
    return sorted(meters.items())


def _columns(rows: list[tuple[int, Values]], width: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return np.array([(tick, *values) for tick, values in rows], np.int64).reshape(-1, width).T


def _keys(rows: list[tuple[int, Values]]) -> KeySignatures:
    tick, fifths, minor = _columns(rows, 3)
    return KeySignatures(tick, fifths, minor != 0)

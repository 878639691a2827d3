"""A score's ticks made finer, so that grid points fall on them."""

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from math import lcm
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from aurl.midi.score import Controls, Ints, KeySignatures, Score, Tempos, Text, TimeSignatures, Track

MAX_TICKS_PER_BEAT = 2**15 - 1
"""What the header of a MIDI file can say."""

C = TypeVar("C", Controls, KeySignatures, Tempos, TimeSignatures)


def divisible(score: Score, steps: Iterable[Fraction]) -> Score:
    """The same score with ticks so fine that every multiple of each step (in beats) falls on one.

    Where no resolution that a MIDI file can have does so exactly, ticks are rounded to the finest that grids allow.
    """
    steps = tuple(steps)
    old = score.ticks_per_beat
    finer = old * lcm(*((step * old).denominator for step in steps))
    if finer > MAX_TICKS_PER_BEAT:
        parts = lcm(*(step.denominator for step in steps))
        finer = MAX_TICKS_PER_BEAT // parts * parts
    return score if finer == old else _rescaled(score, finer)


def _rescaled(score: Score, ticks_per_beat: int) -> Score:
    """All times in ticks of another length, rounded where they do not fall on one."""
    old = score.ticks_per_beat

    def scaled(ticks: Ints) -> NDArray[np.int64]:
        return (2 * ticks * ticks_per_beat + old) // (2 * old)

    def columns(rows: C) -> C:
        return replace(rows, tick=scaled(rows.tick))

    def texts(entries: tuple[Text, ...]) -> tuple[Text, ...]:
        return tuple(replace(entry, tick=int(scaled(np.array([entry.tick]))[0])) for entry in entries)

    def track(one: Track) -> Track:
        onset = scaled(one.notes.onset)
        notes = replace(one.notes, onset=onset, duration=scaled(one.notes.offset) - onset)
        return replace(one, notes=notes, controls=columns(one.controls), lyrics=texts(one.lyrics))

    return replace(
        score,
        ticks_per_beat=ticks_per_beat,
        tracks=tuple(track(one) for one in score.tracks),
        tempos=columns(score.tempos),
        time_signatures=columns(score.time_signatures),
        key_signatures=columns(score.key_signatures),
        markers=texts(score.markers),
    )

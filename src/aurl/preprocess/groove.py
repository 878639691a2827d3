"""How a piece's players systematically deviate from the grid: swing, laid-back snares, rushed upbeats."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aurl.midi.clock import bar_ticks
from aurl.midi.score import Ints, Notes, Score, joined
from aurl.preprocess.grid import Lattice

MIN_VOTES = 8
"""Onsets at one place in the bar, or the beat, from which a habit of the player may be told."""
SURE = 2 * 1.2533 * 1.4826
"""A median is a habit if it is two standard errors from zero: 1.2533 σ/√n (normal scatter), σ = 1.4826 MAD."""
BAR_BEATS = 64
"""Places further into a bar than this are counted from here anew; no meter is as long."""
DRUM_VOICES = 129
"""A track's voices: its pitches where it is a kit, for each drum has its own place behind the beat, else one."""


class _Places(NamedTuple):
    """Where points lie, from particular to general: in whose bar, in whose beat, in anybody's beat."""

    bar: Ints
    beat: Ints
    any_beat: Ints


class _Habits(NamedTuple):
    """Median deviation in ticks at the places, in order, where enough onsets tell."""

    place: Ints
    shift: Ints


def groove_targets(score: Score, lattice: Lattice) -> tuple[Ints, Ints]:
    """Where the notes of all tracks, one table after the other, begin and end: on the grid but for habitual deviation.

    The habit at a place of the bar is the median deviation of the voice's onsets there; where fewer than eight tell,
    it is that of the place in the beat, at last of all voices together. Scatter around the habit goes. A voice is a
    track, or one drum of a kit.
    """
    notes, voice = _voices(score)
    point = lattice.nearest(notes.onset)
    end = lattice.ends(point, notes.offset)
    bars = bar_ticks(score, int(end.max()))
    owner, voted, deviation = _votes(voice, point, notes.onset - point)
    levels = [_habits(place, deviation) for place in _places(owner, voted, bars, score.ticks_per_beat)]
    begins, ends = (at + _shift(_places(voice, at, bars, score.ticks_per_beat), levels) for at in (point, end))
    return np.maximum(begins, 0), np.maximum(ends, 0)


def _voices(score: Score) -> tuple[Notes, Ints]:
    """All notes, and the voice of each."""
    notes = joined([track.notes for track in score.tracks])
    voices = [
        index * DRUM_VOICES + (1 + track.notes.pitch.astype(np.int64) if track.is_drum else np.zeros(len(track.notes)))
        for index, track in enumerate(score.tracks)
    ]
    return notes, np.concatenate(voices).astype(np.int64)


def _votes(voice: Ints, point: Ints, deviation: Ints) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """One vote for each voice and point, the mean of the chord that is played there."""
    order = np.lexsort((point, voice))
    voice, point = voice[order], point[order]
    first = np.flatnonzero(np.append(True, (np.diff(voice) != 0) | (np.diff(point) != 0)))
    counts = np.diff(np.append(first, len(point)))
    return voice[first], point[first], np.add.reduceat(deviation[order], first) / counts


def _places(voice: Ints, point: Ints, bars: Ints, ticks_per_beat: int) -> _Places:
    span = BAR_BEATS * ticks_per_beat
    in_bar = (point - bars[np.searchsorted(bars, point, side="right") - 1]) % span
    in_beat = in_bar % ticks_per_beat
    return _Places(voice * span + in_bar, voice * span + in_beat, in_beat)


def _habits(place: Ints, deviation: NDArray[np.float64]) -> _Habits:
    known, median, votes = _medians(place, deviation)
    _, scatter, _ = _medians(place, np.abs(deviation - median[np.searchsorted(known, place)]))
    sure = np.abs(median) >= SURE * scatter / np.sqrt(votes)
    heard = votes >= MIN_VOTES
    return _Habits(known[heard], np.rint(np.where(sure, median, 0.0)[heard]).astype(np.int64))


def _medians(place: Ints, value: NDArray[np.float64]) -> tuple[Ints, NDArray[np.float64], NDArray[np.intp]]:
    """(each place once, in order; the median of the values there; their number)."""
    order = np.lexsort((value, place))
    place, value = place[order], value[order]
    first = np.flatnonzero(np.append(True, np.diff(place) != 0))
    counts = np.diff(np.append(first, len(place)))
    return place[first], (value[first + (counts - 1) // 2] + value[first + counts // 2]) / 2, counts


def _shift(places: _Places, levels: list[_Habits]) -> Ints:
    """The habit at each place, of the first level that has one."""
    shift = np.zeros(len(places.bar), np.int64)
    unknown = np.ones(len(shift), np.bool_)
    for place, habits in zip(places, levels, strict=True):
        if len(habits.place):
            at = np.minimum(np.searchsorted(habits.place, place), len(habits.place) - 1)
            known = unknown & (habits.place[at] == place)
            shift[known] = habits.shift[at[known]]
            unknown &= ~known
    return shift

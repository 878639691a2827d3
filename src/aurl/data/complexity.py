"""How intricate a piece is: what a curriculum orders pieces by.

The score is the mean of five parts, each from 0 to 1:

- density: 1 - exp(-d / 4), where d is the notes in a beat from the first onset to the last end;
- polyphony: 1 - 1 / p, where p is the notes that sound together, where any does;
- pitch: entropy of pitch classes over log2(12);
- melody: entropy of the steps (-12 to 12) from each onset's highest note to the next one's, over log2(25);
- rhythm: entropy of the times between onsets, in twelfths of a beat up to four beats, over log2(48).

Entropy of pitch classes as in Wu & Yang (ISMIR 2020); the choice of parts and their equal weights are ours. Drums count
for density and rhythm alone.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aurl.midi.score import Ints, Notes, Score

USUAL_DENSITY = 4.0
"""Notes in a beat at which the part for density reaches 1 - 1/e: sixteenths in one voice."""
OCTAVE = 12
TWELFTHS = 12
"""Into which a beat is divided: sixteenths and triplets fall on them."""
LONGEST_GAP = 4 * TWELFTHS
PARTS = 5
PITCH_BITS = 7
PITCHES = 11 * OCTAVE
"""Whole octaves that hold the 128 pitches of MIDI."""


class Texture(NamedTuple):
    """How a piece is woven.

    Args:
        polyphony: notes that sound together, averaged over the time in which any does; 0 without notes.
        complexity: 0 to 1.
    """

    polyphony: float
    complexity: float


def texture_of(score: Score) -> Texture:
    """Polyphony and complexity; zeros for a score without notes."""
    pitched = [track.notes for track in score.tracks if len(track.notes) and not track.is_drum]
    drums = [track.notes for track in score.tracks if len(track.notes) and track.is_drum]
    if not pitched and not drums:
        return Texture(0.0, 0.0)
    every = _in_order([*pitched, *drums])
    melodic = every if not drums else _in_order(pitched) if pitched else None
    beats = (int(every.offset.max()) - every.onset.item(0)) / score.ticks_per_beat
    parts = [1 - math.exp(-len(every.onset) / max(beats, 1.0) / USUAL_DENSITY), _rhythm(every, score.ticks_per_beat)]
    polyphony = 0.0
    if melodic is not None:
        polyphony = _polyphony(melodic)
        parts += [1 - 1 / max(polyphony, 1.0), _pitch(melodic), _melody(melodic)]
    return Texture(round(polyphony, 3), round(sum(parts) / PARTS, 4))


class _Ordered(NamedTuple):
    """Notes in order of (onset, pitch); `last` marks the highest of each onset."""

    onset: Ints
    offset: Ints
    pitch: Ints
    last: NDArray[np.bool_]


def _in_order(tables: Sequence[Notes]) -> _Ordered:
    onset = np.concatenate([notes.onset for notes in tables])
    pitch = np.concatenate([notes.pitch for notes in tables]).astype(np.int64)
    offset = onset + np.concatenate([notes.duration for notes in tables])
    if len(tables) > 1:
        order = (onset << PITCH_BITS | pitch).argsort()
        onset, pitch, offset = onset[order], pitch[order], offset[order]
    last = np.empty(len(onset), np.bool_)
    last[-1] = True
    np.not_equal(onset[1:], onset[:-1], out=last[:-1])
    return _Ordered(onset, offset, pitch, last)


def _polyphony(notes: _Ordered) -> float:
    """Summed length of all notes over the time in which at least one sounds."""
    reached = np.maximum.accumulate(notes.offset)
    silence = int((notes.onset[1:] - reached[:-1]).clip(0).sum())
    sounding = reached.item(-1) - notes.onset.item(0) - silence
    return float((notes.offset - notes.onset).sum() / max(sounding, 1))


def _pitch(notes: _Ordered) -> float:
    """Entropy of the pitch classes, as a share of the largest possible."""
    counts = np.bincount(notes.pitch, minlength=PITCHES).reshape(-1, OCTAVE).sum(axis=0)
    return _entropy(counts) / math.log2(OCTAVE)


def _melody(notes: _Ordered) -> float:
    """Entropy of the steps of the highest line."""
    highest = notes.pitch[notes.last]
    steps = (highest[1:] - highest[:-1]).clip(-OCTAVE, OCTAVE) + OCTAVE
    return _entropy(np.bincount(steps)) / math.log2(2 * OCTAVE + 1)


def _rhythm(notes: _Ordered, ticks_per_beat: int) -> float:
    """Entropy of the times between onsets."""
    onset = notes.onset[notes.last]
    gaps = (2 * TWELFTHS * (onset[1:] - onset[:-1]) + ticks_per_beat) // (2 * ticks_per_beat)
    return _entropy(np.bincount(gaps.clip(1, LONGEST_GAP))) / math.log2(LONGEST_GAP)


def _entropy(counts: NDArray[np.int64]) -> float:
    """In bits, 0 where nothing is counted."""
    found = [count for count in counts.tolist() if count]  # few of them: faster than arrays
    total = sum(found)
    return math.log2(total) - sum(count * math.log2(count) for count in found) / total if total else 0.0

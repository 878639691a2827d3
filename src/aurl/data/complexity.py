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

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aurl.midi.score import Ints, Notes, Score, joined

USUAL_DENSITY = 4.0
"""Notes in a beat at which the part for density reaches 1 - 1/e: sixteenths in one voice."""
OCTAVE = 12
TWELFTHS = 12
"""Into which a beat is divided: sixteenths and triplets fall on them."""
LONGEST_GAP = 4 * TWELFTHS


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
    notes = joined([*pitched, *drums])
    beats = int(notes.offset.max() - notes.onset.min()) / score.ticks_per_beat
    density = 1 - np.exp(-len(notes) / max(beats, 1) / USUAL_DENSITY)
    parts = [density, _rhythm(notes, score.ticks_per_beat)]
    polyphony = 0.0
    if pitched:
        melodic = joined(pitched)
        polyphony = _polyphony(melodic)
        pitch = _entropy(np.bincount(melodic.pitch % OCTAVE)) / np.log2(OCTAVE)
        parts += [1 - 1 / max(polyphony, 1.0), pitch, _melody(melodic)]
    return Texture(round(polyphony, 3), round(float(sum(parts)) / 5, 4))


def _polyphony(notes: Notes) -> float:
    """Summed length of all notes over the time in which at least one sounds."""
    order = np.argsort(notes.onset, kind="stable")
    onset, offset = notes.onset[order], notes.offset[order]
    reached = np.maximum.accumulate(offset)
    silence = np.maximum(onset[1:] - reached[:-1], 0).sum()
    sounding = int(reached[-1] - onset[0] - silence)
    return float(notes.duration.sum()) / max(sounding, 1)


def _melody(notes: Notes) -> float:
    """Entropy of the steps of the highest line, as a share of the largest possible."""
    order = np.lexsort((notes.pitch, notes.onset))
    onset, pitch = notes.onset[order], notes.pitch[order].astype(np.int64)
    highest = pitch[np.append(onset[1:] != onset[:-1], True)]
    steps = np.diff(highest).clip(-OCTAVE, OCTAVE) + OCTAVE
    return _entropy(np.bincount(steps)) / float(np.log2(2 * OCTAVE + 1))


def _rhythm(notes: Notes, ticks_per_beat: int) -> float:
    onset: Ints = np.unique(notes.onset)
    gaps = (2 * TWELFTHS * np.diff(onset) + ticks_per_beat) // (2 * ticks_per_beat)
    return _entropy(np.bincount(gaps.clip(1, LONGEST_GAP))) / float(np.log2(LONGEST_GAP))


def _entropy(counts: NDArray[np.int64]) -> float:
    """In bits, 0 where nothing is counted."""
    counts = counts[counts > 0]
    total = counts.sum()
    return float(np.log2(total) - (counts * np.log2(counts)).sum() / total) if len(counts) > 1 else 0.0

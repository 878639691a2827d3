"""Musical metrics: pure functions of a score, for comparing what was made with what was played.

Conventions: notes of all tracks together; drums are no pitches and count in rhythm only; NaN where a score has nothing
to measure; a score lasts from tick 0 to the end of its last note, and a note sounds up to but not at its offset.
"""

import numpy as np
from numpy.typing import NDArray

from aurl.midi.clock import bar_ticks
from aurl.midi.score import Ints, Notes, Score, joined

POSITIONS_PER_BEAT = 16
"""Onsets that a groove tells apart: 64 in a bar of 4/4, as in Wu & Yang (ISMIR 2020)."""
NOTHING = float("nan")


def pitch_class_entropy(score: Score) -> float:
    """Entropy of the pitch-class histogram in bits, 0 (one class) to log2(12) (uniform); NaN without pitched notes.

    Wu & Yang, ISMIR 2020, over the whole score.
    """
    notes = _notes(score, drums=False)
    if not len(notes):
        return NOTHING
    share = np.bincount(notes.pitch % 12) / len(notes)
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum()) + 0.0  # no −0


def note_density(score: Score) -> float:
    """Note onsets per beat (quarter note), > 0; NaN without notes, or where none has a length."""
    beats = score.end_tick / score.ticks_per_beat
    return score.note_count / beats if beats else NOTHING


def polyphony(score: Score) -> float:
    """Mean number of different pitches that sound, over the time in which any does, ≥ 1; NaN where none ever does.

    As in MusPy (Dong et al., ISMIR 2020).
    """
    notes = _notes(score, drums=False)
    time = _covered(notes.onset, notes.offset)
    lane = notes.pitch.astype(np.int64) * (score.end_tick + 1)
    return _covered(notes.onset + lane, notes.offset + lane) / time if time else NOTHING


def groove_consistency(score: Score) -> float:
    """Share of rhythmic positions at which a bar does as the bar before it, 0 to 1; NaN without two bars to compare.

    A position is a sixteenth of a beat, and in it a note begins or none does. Only neighbouring bars of equal length
    are compared. Wu & Yang, ISMIR 2020, with neighbours instead of all pairs as in MusPy.
    """
    notes = _notes(score)
    bars = _bars(score, notes)
    length = np.diff(bars)
    compared = length[:-1] == length[1:]
    if not compared.any():
        return NOTHING
    onset = notes.onset[notes.onset < bars[-1]]
    bar = np.searchsorted(bars, onset, side="right") - 1
    position = (onset - bars[bar]) * POSITIONS_PER_BEAT // score.ticks_per_beat
    width = int(position.max()) + 1
    struck = np.unique(bar * width + position)
    again = struck[np.isin(struck + width, struck)]  # and in the next bar, too
    count, both = (np.bincount(keys // width, minlength=len(length)) for keys in (struck, again))
    different = (count[:-1] + count[1:] - 2 * both[:-1])[compared]
    positions = length[:-1][compared] * POSITIONS_PER_BEAT / score.ticks_per_beat
    return float(np.mean(1 - different / positions))


def empty_beat_rate(score: Score) -> float:
    """Share of beats (quarter notes) in which nothing sounds, 0 to 1; NaN without notes.

    Dong et al. (Pypianoroll), ISMIR 2018; a note is not heard in the beat at whose beginning it ends.
    """
    notes = _notes(score)
    if not len(notes):
        return NOTHING
    first = notes.onset // score.ticks_per_beat
    after = -(-notes.offset // score.ticks_per_beat)
    after = np.maximum(after, first + 1)  # a note without length is heard, too
    beats = int(after.max())
    change = np.bincount(first, minlength=beats + 1) - np.bincount(after, minlength=beats + 1)
    return float(np.mean(change.cumsum()[:-1] == 0))


METRICS = {
    metric.__name__: metric
    for metric in (pitch_class_entropy, note_density, polyphony, groove_consistency, empty_beat_rate)
}
"""All of them by name."""


def _notes(score: Score, *, drums: bool = True) -> Notes:
    return joined([track.notes for track in score.tracks if drums or not track.is_drum] or [Notes()])


def _bars(score: Score, notes: Notes) -> Ints:
    """Where the bars begin that have music, and where the last of them ends; nothing without notes."""
    if not len(notes):
        return np.zeros(1, np.int64)
    end = max(score.end_tick - 1, int(notes.onset.max()))
    meters = score.time_signatures
    longest = 4 * score.ticks_per_beat * max([1, *(meters.numerator / meters.denominator).tolist()])
    bars = bar_ticks(score, end + int(longest))
    return bars[: int(np.searchsorted(bars, end, side="right")) + 1]


def _covered(onset: Ints, offset: Ints) -> int:
    """Length of the union of intervals."""
    if not len(onset):
        return 0
    order = np.argsort(onset, kind="stable")
    onset, end = onset[order], np.maximum.accumulate(offset[order])
    gaps: NDArray[np.int64] = np.maximum(onset[1:] - end[:-1], 0)
    return int(end[-1] - onset[0] - gaps.sum())

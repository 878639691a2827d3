"""How a piece hangs together: what comes back some bars later, and what changes from its first third to its last.

Conventions are those of `metrics`. `scape` measures repetition without bars.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aurl.evaluation.metrics import NOTHING, note_density, polyphony
from aurl.midi.clock import bar_ticks
from aurl.midi.score import Notes, Score, joined
from aurl.preprocess.excerpt import excerpt
from aurl.studies.pitch_classes import OCTAVE
from aurl.studies.sounding import sounding

POSITIONS_PER_BEAT = 4
LAGS = (1, 2, 4, 8, 16)
"""Bars: neighbours, and lengths of phrases and sections."""


def bar_similarity(score: Score, lags: Sequence[int] = LAGS) -> NDArray[np.float64]:
    """For each lag how alike bars are that lie so far apart, 0 to 1; NaN where no two bars with notes do.

    The mean over those pairs of two things: the cosine between how long each pitch class sounds, and the share of
    sixteenths with an onset in either bar that have one in both (Jaccard). Bars without notes are left out.
    """
    similarity = bar_similarities(score)
    return np.array([_mean(np.diagonal(similarity, lag)) for lag in lags])


def bar_similarities(score: Score) -> NDArray[np.float64]:
    """`(bars, bars)`: how alike any two bars are, as in `bar_similarity`; NaN for bars without notes."""
    notes = joined([track.notes for track in score.tracks if not track.is_drum] or [Notes()])
    bars = np.append(bar_ticks(score, max(score.end_tick - 1, 0)), score.end_tick)
    classes = sounding(notes.onset, notes.offset, notes.pitch, bars).classes
    onsets = _onsets(score, bars)
    with np.errstate(invalid="ignore"):
        chroma = classes / np.linalg.norm(classes, axis=1, keepdims=True)
        both = onsets @ onsets.T
        either = onsets.sum(1)[:, None] + onsets.sum(1) - both
        similar: NDArray[np.float64] = (chroma @ chroma.T + both / either) / 2
    return similar


def _onsets(score: Score, bars: NDArray[np.int64]) -> NDArray[np.float64]:
    """`(bars, positions)`: 1 where a note of any track begins."""
    onset = joined([track.notes for track in score.tracks] or [Notes()]).onset
    onset = onset[onset < bars[-1]]
    bar = np.searchsorted(bars, onset, side="right") - 1
    position = (onset - bars[bar]) * POSITIONS_PER_BEAT // score.ticks_per_beat
    struck = np.zeros((len(bars) - 1, int(position.max(initial=0)) + 1))
    struck[bar, position] = 1
    return struck


class Drift(NamedTuple):
    """What the last third of a piece has more of than the first; NaN where one of them has nothing to measure.

    Args:
        density: note onsets per beat.
        polyphony: pitches that sound together.
        register: semitones between the mean pitches.
        harmony: how different their pitch classes are: half the sum of differences in shares of time, 0 to 1.
    """

    density: float
    polyphony: float
    register: float
    harmony: float


def drift(score: Score) -> Drift:
    """From the first third of the ticks to the last."""
    end = score.end_tick
    first, last = excerpt(score, 0, end // 3)[0], excerpt(score, end - end // 3, end)[0]
    return Drift(
        note_density(last) - note_density(first),
        polyphony(last) - polyphony(first),
        _register(last) - _register(first),
        float(np.abs(_shares(last) - _shares(first)).sum() / 2),
    )


def _pitched(score: Score) -> Notes:
    return joined([track.notes for track in score.tracks if not track.is_drum] or [Notes()])


def _register(score: Score) -> float:
    return _mean(_pitched(score).pitch)


def _shares(score: Score) -> NDArray[np.float64]:
    """`(12,)`: how much of the sounding time each pitch class has."""
    notes = _pitched(score)
    time = np.bincount(notes.pitch % OCTAVE, weights=notes.duration, minlength=OCTAVE)
    return time / time.sum() if time.any() else np.full(OCTAVE, NOTHING)


def _mean(values: NDArray[np.generic]) -> float:
    known = values[~np.isnan(values.astype(np.float64))]
    return float(known.mean()) if len(known) else NOTHING

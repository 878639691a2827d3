"""Where phrases end: the Local Boundary Detection Model on a piece's melody.

E. Cambouropoulos, "The Local Boundary Detection Model (LBDM) and its application in the study of expressive timing",
ICMC 2001: listeners hear a boundary where pitch interval, time between onsets or rest changes, and at the larger of the
two neighbours. A boundary between two notes has the strength x·(r₋ + r₊) with r = |x − y| / (x + y) towards both
neighbouring intervals, each profile scaled to 1, then weighted and added.
"""

import numpy as np
from numpy.typing import NDArray

from aurl.midi.score import Ints, Notes, Score, joined

PITCH_WEIGHT, ONSET_WEIGHT, REST_WEIGHT = 0.25, 0.5, 0.25
"""As in the paper."""

Floats = NDArray[np.float64]


def melody(score: Score) -> Notes:
    """The highest note of each onset of all pitched tracks, but not under a higher one that still sounds.

    Drums stand in where nothing else plays.
    """
    playing = [track for track in score.tracks if len(track.notes)]
    pitched = [track.notes for track in playing if not track.is_drum] or [track.notes for track in playing]
    if not pitched:
        return Notes()
    notes = joined(pitched)
    order = np.lexsort((notes.duration, notes.pitch, notes.onset))
    highest = np.append(np.diff(notes.onset[order]) != 0, True)
    notes = notes.take(order[highest])
    return notes.take(_on_top(notes))


def _on_top(notes: Notes) -> list[int]:
    """The notes that are not below the one before them while it sounds."""
    kept, top, until = [], 0, 0
    columns = zip(notes.onset.tolist(), notes.offset.tolist(), notes.pitch.tolist(), strict=True)
    for index, (onset, offset, pitch) in enumerate(columns):
        if pitch >= top or onset >= until:
            kept.append(index)
            top, until = pitch, offset
    return kept


def boundary_strengths(line: Notes) -> Floats:
    """How strong a boundary is heard before each note but the first, 0–1; `line` has one note at a time."""
    if len(line) < 2:
        return np.zeros(max(len(line) - 1, 0))
    pitch = np.abs(np.diff(line.pitch.astype(np.int64)))
    rest = np.maximum(line.onset[1:] - line.offset[:-1], 0)
    profiles = ((PITCH_WEIGHT, pitch), (ONSET_WEIGHT, np.diff(line.onset)), (REST_WEIGHT, rest))
    strength = np.zeros(len(pitch))
    for weight, interval in profiles:
        strength += weight * _profile(interval.astype(np.float64))
    return strength


def _profile(interval: Floats) -> Floats:
    total = interval[1:] + interval[:-1]
    change = np.abs(np.diff(interval)) / np.where(total > 0, total, 1)
    strength = interval * (np.append(0, change) + np.append(change, 0))
    largest = strength.max()
    scaled: Floats = strength / largest if largest > 0 else strength
    return scaled


def bar_strengths(score: Score, bars: Ints) -> Floats:
    """How well a phrase could begin at each bar line, 0–1: the strongest boundary near it.

    A boundary counts for the nearest bar line, the less the further away it is: phrases may begin with an upbeat.
    """
    line = melody(score)
    strength = boundary_strengths(line)
    if not len(strength):
        return np.zeros(len(bars))
    onset = line.onset[1:]
    before = np.searchsorted(bars, onset, side="right") - 1
    after = np.minimum(before + 1, len(bars) - 1)
    nearest = np.where(onset - bars[before] <= bars[after] - onset, before, after)
    length = np.maximum(bars[after] - bars[before], 1)
    found = np.zeros(len(bars))
    np.maximum.at(found, nearest, strength * np.maximum(1 - np.abs(onset - bars[nearest]) / length, 0))
    return found

"""Tunes with an accompaniment, drawn from a seed: long enough and varied enough to have a fingerprint."""

import numpy as np

from aurl.midi.score import Notes, Score, Track

EIGHTH = 240
DRUM_KIT = (35, 38, 42, 46, 49, 51)


def melody(seed: int, *, notes: int = 120, low: int = 60) -> Track:
    """A line of steps and leaps in eighths, quarters and dotted quarters."""
    rng = np.random.default_rng(seed)
    pitch = low + np.abs(np.cumsum(rng.choice([-4, -2, -1, 1, 2, 3, 5], notes))) % 24
    duration = rng.choice([1, 1, 2, 3], notes) * EIGHTH
    return _track(np.cumsum(duration) - duration, duration, pitch, program=73)


def accompaniment(seed: int, *, chords: int = 60, low: int = 36) -> Track:
    """Broken chords of three notes below the melody."""
    rng = np.random.default_rng((seed, 1))
    root = low + rng.integers(0, 12, chords)
    pitch = (root[:, None] + rng.permuted(np.tile([0, 4, 7], (chords, 1)), axis=1)).reshape(-1)
    onset = np.arange(chords * 3) * EIGHTH * 2
    return _track(onset, np.full(len(pitch), EIGHTH * 2), pitch, program=0)


def drums(seed: int, *, hits: int = 160) -> Track:
    """Hits of a kit, some of them together."""
    rng = np.random.default_rng((seed, 2))
    onset = np.cumsum(rng.choice([0, 1, 1, 2], hits)) * EIGHTH // 2
    notes = np.unique(np.stack([onset, rng.choice(DRUM_KIT, hits)], axis=1), axis=0)
    return _track(notes[:, 0], np.full(len(notes), EIGHTH // 2), notes[:, 1], is_drum=True)


def tune(seed: int) -> Score:
    """Melody, accompaniment and drums."""
    return Score(ticks_per_beat=2 * EIGHTH, tracks=(melody(seed), accompaniment(seed), drums(seed)))


def _track(onset, duration, pitch, *, program: int = 0, is_drum: bool = False) -> Track:
    notes = Notes(onset, duration, pitch, np.full(len(pitch), 80))
    return Track(notes=notes.ordered(), program=program, is_drum=is_drum)

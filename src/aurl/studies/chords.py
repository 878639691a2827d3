"""The chord of each span of time, from the notes that sound in it.

Every chord is a guess at which pitch classes sound (naive Bayes over durations) and which is the lowest; a chord lasts
until another explains the notes better by more than a change costs (Viterbi), as in A. Sheh & D. Ellis, "Chord
Segmentation and Recognition", ISMIR 2003, with templates in place of trained states.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aurl.studies.pitch_classes import CHORDS, NO_CHORD, OCTAVE, QUALITIES, chord_tones
from aurl.studies.sounding import NOBODY, sounding

# Chosen on the first 250 songs of POP909; benchmarks/analysis.py tells the outcome on the others.
FOREIGN = 0.22
"""Share of the sounding time that falls on notes outside the chord."""
EVIDENCE = 12.0
"""How many independent notes a span counts for: what sounds for longer than one is no news."""
BASS_IS_ROOT, BASS_IS_TONE = 0.5, 0.25
"""Chances that the lowest note is the root, or any other note of the chord."""
CHANGE = 1.8
"""Nats that another chord than in the span before has to gain."""
RARE = {
    "dim": 2.5,
    "aug": 3.0,
    "maj7": 0.8,
    "min7": 0.5,
    "hdim7": 1.0,
    "dim7": 2.5,
    "sus2": 3.5,
    "sus4": 2.5,
    "6": 2.0,
}
"""Nats by which a quality is less common than major, minor and dominant chords."""
SILENCE = 6.0
"""Nats for no chord where nothing sounds."""
ANY_NOTE = (EVIDENCE + 1) * np.log(1 / OCTAVE) - 2.0
"""Nats for no chord where something does: every pitch class is as likely, and it is rare."""


def estimate_chords(
    onset: NDArray[Any], offset: NDArray[Any], pitch: NDArray[Any], *, spans: NDArray[Any]
) -> NDArray[np.int64]:
    """`(S,)`: the CHORD value of each span.

    Args:
        onset: `(n,)`, of the notes of pitched parts, in any order and unit.
        offset: `(n,)`, in the unit of `onset`.
        pitch: `(n,)`, 0–127.
        spans: `(S + 1,)` edges of the spans, rising, in the unit of `onset`; half bars serve well.
    """
    if len(spans) < 2:
        return np.empty(0, np.int64)
    classes, lowest = sounding(onset, offset, pitch, spans)
    total = classes.sum(axis=1, keepdims=True)
    bass = np.where(lowest == NOBODY, OCTAVE, lowest % OCTAVE)
    shares = classes / np.maximum(total, np.finfo(np.float64).tiny)
    scores = EVIDENCE * shares @ _TONES.T + _BASS[bass] - _RARITY  # (S, CHORDS)
    scores[:, NO_CHORD] = np.where(total[:, 0] > 0, ANY_NOTE, SILENCE)
    return _smoothest(scores)


def _smoothest(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """`(S,)`: the course through `(S, CHORDS)` of the greatest sum, less `CHANGE` for each change."""
    came_from = np.empty(scores.shape, np.int64)
    stay = np.arange(CHORDS)
    best = scores[0]
    for index in range(1, len(scores)):
        top = best.argmax()
        changes = best[top] - CHANGE > best
        came_from[index] = np.where(changes, top, stay)
        best = np.where(changes, best[top] - CHANGE, best) + scores[index]
    course = np.empty(len(scores), np.int64)
    course[-1] = best.argmax()
    for index in range(len(scores) - 1, 0, -1):
        course[index - 1] = came_from[index, course[index]]
    return course


def _likelihoods() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Log-likelihoods of a pitch class `(CHORDS, 12)` and of the bass `(13, CHORDS)`, and how rare chords are."""
    tones = chord_tones()
    size = np.maximum(tones.sum(axis=1, keepdims=True), 1)
    notes = np.log(np.where(tones, (1 - FOREIGN) / size, FOREIGN / (OCTAVE - size)))
    root = (np.arange(CHORDS) - 1) % OCTAVE == np.arange(OCTAVE)[:, None]  # (12, CHORDS)
    other = (1 - BASS_IS_ROOT - BASS_IS_TONE) / (OCTAVE - size.T)
    bass = np.log(np.where(root, BASS_IS_ROOT, np.where(tones.T, BASS_IS_TONE / np.maximum(size.T - 1, 1), other)))
    rarity = np.repeat([RARE.get(quality, 0.0) for quality in QUALITIES], OCTAVE)
    return notes, np.vstack([bass, np.zeros(CHORDS)]), np.concatenate([[0.0], rarity])


_TONES, _BASS, _RARITY = _likelihoods()

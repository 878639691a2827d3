"""Facts about the twelve pitch classes: every key and every chord that has an id.

A CHORD value is 0 for no chord, otherwise 1 + 12 · quality + root: `QUALITIES` in order, roots from C upwards.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Fifths = TypeVar("Fifths", int, NDArray[np.int64])

OCTAVE = 12
SEMITONES_OF_FIFTH = 7
MINOR_THIRD = 3
"""Semitones from the tonic of a minor key up to that of the major key with the same notes."""
MOST_FLATS = 5
"""Of keys that sound alike, the one with the fewest accidentals; of six sharps and six flats, the sharps."""

KEYS = tuple((fifths, minor) for minor in (False, True) for fifths in range(-7, 8))
"""(fifths, minor) of each KEY value; −7 is seven flats, 7 seven sharps."""
QUALITIES = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "dim": (0, 3, 6),
    "aug": (0, 4, 8),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "min7": (0, 3, 7, 10),
    "hdim7": (0, 3, 6, 10),
    "dim7": (0, 3, 6, 9),
    "sus2": (0, 2, 7),
    "sus4": (0, 5, 7),
    "6": (0, 4, 7, 9),
}
"""Name of a chord's quality (Harte et al., ISMIR 2005) → semitones above its root. The order is that of the ids."""
NO_CHORD = 0
CHORDS = 1 + OCTAVE * len(QUALITIES)


def fewest_accidentals(fifths: Fifths) -> Fifths:
    """The key that sounds like one of so many fifths, −5 (five flats) to 6."""
    return (fifths + MOST_FLATS) % OCTAVE - MOST_FLATS


def key_value(tonic: int, minor: bool) -> int:
    """Position in `KEYS` of the key on a pitch class, as it is written with the fewest accidentals."""
    fifths = fewest_accidentals(SEMITONES_OF_FIFTH * (tonic + MINOR_THIRD * minor))
    return KEYS.index((fifths, minor))


def tonic_of(key: int) -> int:
    """Pitch class of the tonic of a KEY value."""
    fifths, minor = KEYS[key]
    return (SEMITONES_OF_FIFTH * fifths - MINOR_THIRD * minor) % OCTAVE


def as_heard(key: int) -> int:
    """The KEY value of a key's sound, which is written with the fewest accidentals: G flat is F sharp."""
    return key_value(tonic_of(key), KEYS[key][1])


def chord_value(root: int, quality: str) -> int:
    """The CHORD value of a chord on a pitch class."""
    return 1 + OCTAVE * list(QUALITIES).index(quality) + root % OCTAVE


def transposed_chords(semitones: int) -> NDArray[np.int64]:
    """`(CHORDS,)`: the CHORD value of each CHORD value, so many semitones higher."""
    values = np.arange(CHORDS)
    root = (values - 1) % OCTAVE
    return np.where(values == NO_CHORD, NO_CHORD, values - root + (root + semitones) % OCTAVE)


def chord_tones() -> NDArray[np.bool_]:
    """`(CHORDS, 12)`: which pitch classes belong to each CHORD value; to none for no chord."""
    tones = np.zeros((CHORDS, OCTAVE), np.bool_)
    for index, intervals in enumerate(QUALITIES.values()):
        for root in range(OCTAVE):
            tones[1 + OCTAVE * index + root, np.add(root, intervals) % OCTAVE] = True
    return tones

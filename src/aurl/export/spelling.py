"""Names of pitches: which of C sharp and D flat a note is, by the key."""

from collections.abc import Callable
from functools import cache

import numpy as np

from aurl.midi.score import Score, joined
from aurl.studies.key import estimate_key
from aurl.studies.pitch_classes import KEYS

Spelling = Callable[[int], tuple[str, int, int]]
"""MIDI pitch → step, alteration in semitones, octave."""

FIFTHS = "FCGDAEB"
NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
FLATTEST = -3
"""Of the names that a key gives its twelve notes, the first on the line of fifths, from C major's C: its E flat. The
others follow up to the G sharp, so that minor keys have their leading notes."""


def fifths_of(score: Score) -> int:
    """The key signature that notes are spelt by, −7 to 7: the score's first one, or the one that fits best."""
    if len(score.key_signatures):
        return int(score.key_signatures.fifths[0])
    pitched = [track.notes for track in score.tracks if not track.is_drum and len(track.notes)]
    notes = joined(pitched) if pitched else None
    found = notes and estimate_key(notes.pitch, np.maximum(notes.duration, 1))
    return KEYS[found.value][0] if found else 0


def spelling(fifths: int) -> Spelling:
    """How notes are spelt in a key, −7 (seven flats) to 7 (seven sharps)."""

    @cache
    def spell(pitch: int) -> tuple[str, int, int]:
        place = FLATTEST + fifths + (7 * pitch - FLATTEST - fifths) % 12
        step, alter = FIFTHS[(place + 1) % 7], (place + 1) // 7
        octave = (pitch - alter - NATURALS[step]) // 12 - 1
        return step, alter, octave

    return spell

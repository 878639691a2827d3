"""Notes of one scale."""

import re

import numpy as np

from aurl.errors import UsageError, did_you_mean
from aurl.generation.constraints.kinds import CONSTRAINTS, Rule
from aurl.generation.constraints.pitches import OCTAVE, moved, strange
from aurl.generation.constraints.row import FORBIDDEN, PITCHES, Bias, Row
from aurl.midi.score import Ints, Score
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import NOTE_ON

MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "natural minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
    "melodic minor": (0, 2, 3, 5, 7, 9, 11),
    "ionian": (0, 2, 4, 5, 7, 9, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "aeolian": (0, 2, 3, 5, 7, 8, 10),
    "locrian": (0, 1, 3, 5, 6, 8, 10),
    "pentatonic": (0, 2, 4, 7, 9),
    "major pentatonic": (0, 2, 4, 7, 9),
    "minor pentatonic": (0, 3, 5, 7, 10),
    "blues": (0, 3, 5, 6, 7, 10),
    "whole tone": (0, 2, 4, 6, 8, 10),
}
"""Semitones above the tonic; the melodic minor scale is the one that rises."""
TONICS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
ACCIDENTALS = {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1}
_KEY = re.compile(r"\s*([A-Ga-g])([#♯b♭]?)(?:\s+(.*\S))?\s*")


@CONSTRAINTS.register("scale")
def scale(_codec: Codec, *, key: str) -> "Scale":
    """Notes belong to a scale; drums are not asked.

    A finished piece is mended by moving notes to the nearest pitch of the scale, of two as near to the lower one.

    Args:
        key: tonic and mode, as "C minor", "F# dorian", "Bb major pentatonic", "A blues"; "G" alone is G major. Modes:
            major, minor (natural, harmonic or melodic), ionian to locrian, pentatonic (major or minor), blues and
            whole tone.
    """
    return Scale(key)


class Scale(Rule):
    """See `scale`.

    Raises:
        UsageError: there is no such key.
    """

    def __init__(self, key: str) -> None:
        self._key, self._classes = key, pitch_classes(key)
        inside = np.isin(np.arange(PITCHES) % OCTAVE, list(self._classes))
        self._forbidden = np.where(inside, 0, FORBIDDEN).astype(np.float32)
        pitches = np.flatnonzero(inside)
        self._nearest: Ints = pitches[np.abs(np.arange(PITCHES)[:, None] - pitches).argmin(1)]

    def restrict(self, row: Row, bias: Bias) -> None:
        """No NOTE_ON of another pitch class."""
        if not row.is_drum(row.part):
            bias[NOTE_ON.start : NOTE_ON.stop] += self._forbidden

    def mend(self, score: Score) -> Score:
        """Notes move to the nearest pitch of the scale."""
        return moved(score, self._nearest.take)

    def broken(self, score: Score) -> list[str]:
        """Notes of other pitch classes."""
        return strange(score, lambda pitch: pitch % OCTAVE in self._classes, f"is not in {self._key}")


def pitch_classes(key: str) -> frozenset[int]:
    """The pitch classes of a key such as "C minor", 0 for C.

    Raises:
        UsageError: there is no such key.
    """
    found = _KEY.fullmatch(key)
    if found is None:
        raise UsageError(f"there is no key {key!r}", hint='write tonic and mode, as "C minor" or "F# dorian"')
    letter, accidental, words = found.groups()
    mode = " ".join((words or "major").casefold().split())
    if mode not in MODES:
        meant = did_you_mean(mode, MODES)
        raise UsageError(f"there is no mode {mode!r} of {key!r}", hint=meant or f"known: {', '.join(MODES)}")
    tonic = TONICS[letter.upper()] + ACCIDENTALS[accidental]
    return frozenset((tonic + semitones) % OCTAVE for semitones in MODES[mode])

"""Keys and chords as people write them: "Am", "F#m7b5", "Bb major"."""

import re

from aurl.errors import UsageError
from aurl.studies.pitch_classes import (
    KEYS,
    MINOR_THIRD,
    NO_CHORD,
    OCTAVE,
    QUALITIES,
    SEMITONES_OF_FIFTH,
    chord_value,
    fewest_accidentals,
    key_value,
)

LETTERS = "FCGDAEB"
"""In order of fifths; sharps and flats follow in the same order."""
KEY_HINT = 'for example "C minor", "Cm", "F#" or "Bb major"'
CHORD_HINT = "for example Am, F, G7, Cmaj7, F#m7b5, Bbdim, Dsus4, or N for no chord"
TRIADS = ("maj", "min")

_NAME = re.compile(r"\s*([A-G])([#♯b♭]*)(.*?)\s*", re.DOTALL)
_BETWEEN_CHORDS = re.compile(r"[\s,;|–]+|-(?=[A-GN])")
_SUFFIXES = {
    "maj": ("", "maj", "M", "major"),
    "min": ("m", "min", "mi", "minor"),
    "dim": ("dim", "°", "o"),
    "aug": ("aug", "+"),
    "7": ("7", "dom7"),
    "maj7": ("maj7", "M7", "Δ", "Δ7"),
    "min7": ("m7", "min7", "mi7"),
    "hdim7": ("m7b5", "min7b5", "m7♭5", "hdim7", "ø", "ø7"),
    "dim7": ("dim7", "°7", "o7"),
    "sus2": ("sus2",),
    "sus4": ("sus4", "sus"),
    "6": ("6", "maj6", "M6"),
}
"""Quality → what may follow its root; the first is how it is written."""
_QUALITY = {suffix: quality for quality, suffixes in _SUFFIXES.items() for suffix in suffixes}
_NO_CHORD = ("N", "NC", "N.C.")


def parse_key(text: str) -> int:
    """The KEY value of a name; a key of more than seven accidentals is taken for the one that sounds alike.

    Raises:
        UsageError: `text` names no major or minor key.
    """
    found = _NAME.fullmatch(text)
    quality = _QUALITY.get(found[3].strip().removeprefix(":").strip()) if found else None
    if found is None or quality not in TRIADS:
        raise UsageError(f'"{text}" names no key', hint=KEY_HINT)
    minor = quality == "min"
    spelled = _fifths(found[1], found[2]) - 1 - MINOR_THIRD * minor, minor
    return KEYS.index(spelled) if spelled in KEYS else key_value(_pitch_class(found[1], found[2]), minor)


def key_name(value: int) -> str:
    """How a KEY value is written: "Bb major"."""
    fifths, minor = KEYS[value]
    return f"{_note_name(fifths + MINOR_THIRD * minor)} {'minor' if minor else 'major'}"


def parse_chord(text: str) -> int:
    """The CHORD value of a name; a bass after a slash is dropped.

    Raises:
        UsageError: `text` names no chord that has an id.
    """
    if text.strip() in _NO_CHORD:
        return NO_CHORD
    found = _NAME.fullmatch(text.partition("/")[0])
    quality = _QUALITY.get(found[3].removeprefix(":")) if found else None
    if found is None or quality is None:
        raise UsageError(f'"{text}" names no chord that a model knows', hint=CHORD_HINT)
    return chord_value(_pitch_class(found[1], found[2]), quality)


def parse_chords(text: str) -> tuple[int, ...]:
    """The CHORD values of a progression; spaces, commas, bar lines or dashes stand between its chords.

    Raises:
        UsageError: one of them names no chord, or there is none.
    """
    names = [name for name in _BETWEEN_CHORDS.split(text) if name]
    if not names:
        raise UsageError("there is no chord in the progression", hint=CHORD_HINT)
    return tuple(parse_chord(name) for name in names)


def chord_name(value: int) -> str:
    """How a CHORD value is written: "F#m7b5"; "N" for no chord."""
    if value == NO_CHORD:
        return _NO_CHORD[0]
    quality, root = divmod(value - 1, OCTAVE)
    name = list(QUALITIES)[quality]
    above = MINOR_THIRD if QUALITIES[name][1] == MINOR_THIRD else 0
    fifths = fewest_accidentals(SEMITONES_OF_FIFTH * (root + above))
    return _note_name(fifths + above) + _SUFFIXES[name][0]


def _fifths(letter: str, accidentals: str) -> int:
    """Of a note, counted from F upwards."""
    sharps = sum(1 if sign in "#♯" else -1 for sign in accidentals)
    return LETTERS.index(letter) + len(LETTERS) * sharps


def _pitch_class(letter: str, accidentals: str) -> int:
    return SEMITONES_OF_FIFTH * (_fifths(letter, accidentals) - 1) % OCTAVE


def _note_name(fifths: int) -> str:
    """The note so many fifths above C."""
    sharps, letter = divmod(fifths + 1, len(LETTERS))
    return LETTERS[letter] + ("#" if sharps > 0 else "b") * abs(sharps)

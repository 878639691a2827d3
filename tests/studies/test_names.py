import mir_eval.chord
import numpy as np
import pytest
from music21.key import Key

from aurl.errors import UsageError
from aurl.studies.names import chord_name, key_name, parse_chord, parse_chords, parse_key
from aurl.studies.pitch_classes import CHORDS, KEYS, NO_CHORD, QUALITIES, chord_tones, chord_value, tonic_of

HARTE = {"6": "maj6"}


@pytest.mark.parametrize("value", range(len(KEYS)))
def test_keys_come_back_from_their_names(value):
    name = key_name(value)
    assert parse_key(name) == value
    tonic, mode = name.split()
    known = Key(tonic.replace("b", "-"), mode)
    assert (known.sharps, known.mode == "minor") == KEYS[value]
    assert known.tonic.pitchClass == tonic_of(value)


@pytest.mark.parametrize("value", range(CHORDS))
def test_chords_come_back_from_their_names(value):
    assert parse_chord(chord_name(value)) == value


@pytest.mark.parametrize("quality", QUALITIES)
def test_the_tones_of_a_chord_are_those_of_mir_eval(quality):
    root, tones, _ = mir_eval.chord.encode(f"D:{HARTE.get(quality, quality)}")
    value = parse_chord(f"D:{quality}")
    assert value == chord_value(2, quality)
    assert np.array_equal(chord_tones()[value], np.roll(tones, root))


@pytest.mark.parametrize(
    ("text", "fifths", "minor"),
    [
        ("C minor", -3, True),
        ("Cm", -3, True),
        ("F#", 6, False),
        ("Gb", -6, False),
        ("Bb major", -2, False),
        ("B♭:maj", -2, False),
        ("C#", 7, False),
        ("G# major", -4, False),  # eight sharps: A flat
        ("A#m", 7, True),
    ],
)
def test_keys_are_read_as_people_write_them(text, fifths, minor):
    assert KEYS[parse_key(text)] == (fifths, minor)


@pytest.mark.parametrize(
    ("text", "root", "quality"),
    [
        ("Am", 9, "min"),
        ("F", 5, "maj"),
        ("G7", 7, "7"),
        ("Cmaj7", 0, "maj7"),
        ("CM7", 0, "maj7"),
        ("F#m7b5", 6, "hdim7"),
        ("Bbdim", 10, "dim"),
        ("C/E", 0, "maj"),
        ("D:min7/b7", 2, "min7"),
        ("Ebsus", 3, "sus4"),
        ("Cb", 11, "maj"),
        ("B##", 1, "maj"),
        ("Fbb+", 3, "aug"),
    ],
)
def test_chords_are_read_as_people_write_them(text, root, quality):
    assert parse_chord(text) == chord_value(root, quality)


@pytest.mark.parametrize("text", ["Am F C G", "Am, F, C, G", "| Am | F | C | G |", "Am-F-C-G", "Am – F – C – G"])
def test_progressions_are_read_as_people_write_them(text):
    assert [chord_name(value) for value in parse_chords(text)] == ["Am", "F", "C", "G"]


def test_no_chord_has_a_name():
    assert [parse_chord(text) for text in ("N", "N.C.", " NC ")] == [NO_CHORD] * 3
    assert chord_name(NO_CHORD) == "N"


@pytest.mark.parametrize("text", ["", "H", "c minor", "C7", "C minor seventh", "17", "C/E"])
def test_what_is_no_key_is_told_with_an_example(text):
    with pytest.raises(UsageError, match="names no key") as caught:
        parse_key(text)
    assert "C minor" in caught.value.hint


@pytest.mark.parametrize("text", ["", "H7", "am", "C13#11", "Cx", "/E"])
def test_what_is_no_chord_is_told_with_an_example(text):
    with pytest.raises(UsageError, match="names no chord") as caught:
        parse_chord(text)
    assert "Cmaj7" in caught.value.hint


def test_an_empty_progression_is_told():
    with pytest.raises(UsageError, match="no chord in the progression"):
        parse_chords(" | ")

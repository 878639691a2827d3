"""Range and scale, worked by hand."""

import numpy as np
import pytest
from tests.support.scores import score, track

from aurl.errors import UsageError
from aurl.generation.constraints import CONSTRAINTS
from aurl.generation.constraints.row import FORBIDDEN, Row
from aurl.generation.constraints.scale import MODES, pitch_classes
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import DRUM_PROGRAM

CODEC = Codec()
LANES = np.zeros((32, 256), np.float32)


def allowed_pitches(kind, *, programs=(0,), part=0, **options):
    row, bias = Row(lanes=LANES, stage=0, part=part, programs=list(programs)), np.zeros(CODEC.vocabulary_size, "f4")
    CONSTRAINTS.build(kind, CODEC, **options).restrict(row, bias)
    assert (bias[128:] == 0).all()
    return np.flatnonzero(bias[:128] > FORBIDDEN).tolist()


def pitches(piece, index=0):
    return piece.tracks[index].notes.pitch.tolist()


def line(*pitches_, **options):
    return track(*((32 * place, 32, pitch, 80) for place, pitch in enumerate(pitches_)), **options)


def test_notes_begin_within_the_range_only():
    assert allowed_pitches("range", lowest=59, highest=62) == [59, 60, 61, 62]
    assert allowed_pitches("range") == list(range(128))
    assert allowed_pitches("range", lowest=59, highest=62, programs=(0, DRUM_PROGRAM), part=1) == list(range(128))
    with pytest.raises(UsageError, match="from 62 up to 59"):
        CONSTRAINTS.build("range", CODEC, lowest=62, highest=59)


def test_notes_outside_the_range_move_by_octaves_or_to_its_end():
    piece = score(line(30, 47, 48, 60, 71, 72, 95), line(20, is_drum=True))
    mended = CONSTRAINTS.build("range", CODEC, lowest=48, highest=71).mend(piece)
    assert pitches(mended) == [54, 59, 48, 60, 71, 60, 71]
    assert pitches(mended, 1) == [20]
    narrow = CONSTRAINTS.build("range", CODEC, lowest=60, highest=64)
    assert pitches(narrow.mend(score(line(48, 54, 59, 70, 76)))) == [60, 64, 64, 60, 64]


def test_notes_that_meet_in_the_range_become_one():
    piece = score(track((0, 32, 48, 80), (0, 64, 60, 50), (32, 32, 48, 80)))
    mended = CONSTRAINTS.build("range", CODEC, lowest=60, highest=72).mend(piece)
    notes = mended.tracks[0].notes
    assert (notes.onset.tolist(), notes.duration.tolist(), notes.pitch.tolist()) == ([0, 32], [32, 32], [60, 60])
    assert notes.velocity.tolist() == [80, 80]


def test_what_is_outside_is_told_with_its_place():
    piece = score(line(60, 59), line(10, is_drum=True))
    assert CONSTRAINTS.build("range", CODEC, lowest=60, highest=72).broken(piece) == ["B3 at beat 1 is outside C4–C5"]
    assert CONSTRAINTS.build("scale", CODEC, key="Bb").broken(piece) == ["B3 at beat 1 is not in Bb"]


def test_notes_begin_on_the_scale_only():
    assert [pitch for pitch in allowed_pitches("scale", key="C minor") if 60 <= pitch < 73] == [
        60, 62, 63, 65, 67, 68, 70, 72,
    ]  # fmt: skip
    assert allowed_pitches("scale", key="A", programs=(DRUM_PROGRAM,)) == list(range(128))
    assert len(allowed_pitches("scale", key="A", part=-1)) < 128


@pytest.mark.parametrize(
    ("key", "classes"),
    [
        ("C", {0, 2, 4, 5, 7, 9, 11}),
        ("  g   MAJOR ", {7, 9, 11, 0, 2, 4, 6}),
        ("A minor", {9, 11, 0, 2, 4, 5, 7}),
        ("A harmonic minor", {9, 11, 0, 2, 4, 5, 8}),
        ("A melodic minor", {9, 11, 0, 2, 4, 6, 8}),
        ("Eb minor pentatonic", {3, 6, 8, 10, 1}),
        ("F♯ pentatonic", {6, 8, 10, 1, 3}),
        ("D dorian", {2, 4, 5, 7, 9, 11, 0}),
        ("Cb locrian", {11, 0, 2, 4, 5, 7, 9}),
        ("E blues", {4, 7, 9, 10, 11, 2}),
    ],
)
def test_keys_are_read_as_musicians_write_them(key, classes):
    assert pitch_classes(key) == classes


def test_modes_of_one_another_have_the_same_notes():
    white = pitch_classes("C major")
    modes = ("ionian", "dorian", "phrygian", "lydian", "mixolydian", "aeolian", "locrian")
    assert {pitch_classes(f"{tonic} {mode}") for tonic, mode in zip("CDEFGAB", modes, strict=True)} == {white}
    assert pitch_classes("A minor pentatonic") == pitch_classes("C major pentatonic")
    assert all(semitones[0] == 0 and list(semitones) == sorted(set(semitones)) for semitones in MODES.values())


@pytest.mark.parametrize(
    ("key", "told"), [("H minor", "no key"), ("", "no key"), ("C dorain", "mode 'dorain'"), ("C##", "no key")]
)
def test_what_is_no_key_is_refused(key, told):
    with pytest.raises(UsageError, match=told) as caught:
        CONSTRAINTS.build("scale", CODEC, key=key)
    assert "dorian" in caught.value.hint


def test_notes_move_to_the_nearest_pitch_of_the_scale():
    mended = CONSTRAINTS.build("scale", CODEC, key="C major").mend(score(line(61, 63, 66, 60, 127, 0)))
    assert pitches(mended) == [60, 62, 65, 60, 127, 0]
    whole = CONSTRAINTS.build("scale", CODEC, key="C# whole tone").mend(score(line(0, 126)))
    assert pitches(whole) == [1, 125]

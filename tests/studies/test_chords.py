import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurl.studies.chords import estimate_chords
from aurl.studies.names import parse_chord
from aurl.studies.pitch_classes import CHORDS, NO_CHORD, OCTAVE, QUALITIES, chord_tones, transposed_chords

SPAN = 32


def chords_of(notes, spans):
    onset, offset, pitch = np.array(notes, np.int64).reshape(-1, 3).T
    return estimate_chords(onset, offset, pitch.astype(np.uint8), spans=np.asarray(spans)).tolist()


def block(span, *pitches):
    return [(span * SPAN, (span + 1) * SPAN, pitch) for pitch in pitches]


def values(text):
    return [parse_chord(name) for name in text.split()]


@pytest.mark.parametrize("root", [0, 5, 11])
@pytest.mark.parametrize("quality", QUALITIES)
def test_every_chord_in_root_position_is_heard(quality, root):
    notes = block(0, *(48 + root + interval for interval in QUALITIES[quality]))
    assert chords_of(notes, [0, SPAN]) == [1 + OCTAVE * list(QUALITIES).index(quality) + root]


def test_a_progression_under_a_melody():
    chords = [(45, 57, 60, 64), (41, 57, 60, 65), (48, 55, 60, 64), (43, 55, 59, 62)]
    notes = [note for span, pitches in enumerate(chords) for note in block(span, *pitches)]
    melody = [(span * SPAN + 8 * step, span * SPAN + 8 * step + 8, 72 + step) for span in range(4) for step in (0, 2)]
    assert chords_of(notes + melody, SPAN * np.arange(5)) == values("Am F C G")


def test_arpeggios_are_chords():
    notes = [(8 * step, 8 * step + 8, pitch) for step, pitch in enumerate([50, 57, 62, 65, 43, 50, 59, 62])]
    assert chords_of(notes, [0, SPAN, 2 * SPAN]) == values("Dm G")


def test_the_bass_tells_apart_chords_of_the_same_notes():
    assert chords_of(block(0, 48, 52, 55, 57), [0, SPAN]) == values("C6")
    assert chords_of(block(0, 45, 52, 55, 60), [0, SPAN]) == values("Am7")


def test_a_passing_note_changes_no_chord():
    notes = [*block(0, 48, 52, 55), *block(1, 52, 57), *block(2, 48, 52, 55)]
    assert chords_of(notes, SPAN * np.arange(4))[::2] == values("C C")
    passing = [(0, 3 * SPAN, pitch) for pitch in (48, 52, 55)] + [(SPAN, SPAN + 8, 74)]
    assert chords_of(passing, SPAN * np.arange(4)) == values("C C C")


def test_nothing_sounds_no_chord():
    assert chords_of([], [0, SPAN, 2 * SPAN]) == [NO_CHORD, NO_CHORD]
    assert chords_of(block(0, 48, 52, 55), [0]) == []


def test_notes_outside_the_spans_count_only_inside():
    notes = [(0, 4 * SPAN, pitch) for pitch in (48, 52, 55)] + block(0, 41, 45) + block(3, 47, 50)
    assert chords_of(notes, [SPAN, 2 * SPAN, 3 * SPAN]) == values("C C")


@given(
    st.lists(st.tuples(st.integers(0, 11), st.sampled_from(["maj", "min", "7", "min7"])), min_size=1, max_size=8),
    st.integers(-12, 12),
)
def test_chords_move_with_the_notes(progression, semitones):
    notes = [
        note
        for span, (root, quality) in enumerate(progression)
        for note in block(span, *(36 + root + tone for tone in QUALITIES[quality]))
    ]
    spans = SPAN * np.arange(len(progression) + 1)
    moved = [(onset, offset, pitch + semitones) for onset, offset, pitch in notes]
    assert chords_of(moved, spans) == transposed_chords(semitones)[chords_of(notes, spans)].tolist()


@pytest.mark.parametrize("semitones", range(OCTAVE))
def test_moved_chords_have_moved_tones(semitones):
    moved = transposed_chords(semitones)
    assert sorted(moved) == list(range(CHORDS))
    assert np.array_equal(chord_tones()[moved], np.roll(chord_tones(), semitones, axis=1))

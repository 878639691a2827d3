"""What is heard in segments, by hand and beside the decoder of ids."""

import numpy as np
import pytest
from tests.support.tunes import tune

from aurl.latent.factors import BEFORE, FACTORS, factors_of, keys_of, read_played
from aurl.tokens.codec import Codec
from aurl.tokens.decode import read_notes
from aurl.tokens.velocity import VELOCITY_OF_BIN
from aurl.tokens.vocabulary import BOS, EOS, NOTE_OFF, NOTE_ON, PART, PROGRAM, SEP, TIME_SHIFT, VELOCITY

BEAT = TIME_SHIFT.start + 31


def on(pitch):
    return NOTE_ON.start + pitch


def off(pitch):
    return NOTE_OFF.start + pitch


def array(*ids):
    return np.array(ids, np.int64)


def test_one_segment_by_hand():
    """A bass note of two beats, and above it a third on the second beat, of one beat; the end is at beat two."""
    half = TIME_SHIFT.start + 15
    ids = array(BOS, VELOCITY.start + 5, on(48), BEAT, on(60), on(64), half, off(60), half, off(64), off(48), EOS)
    found = factors_of(read_played(ids, 0), 1, None)
    assert found.keys() == FACTORS.keys()
    values = {name: value.item() for name, value in found.items()}
    assert values["density"] == 1.5
    assert values["polyphony"] == pytest.approx((1 * 1 + 0.5 * 3 + 0.5 * 2) / 2)
    assert values["register"] == pytest.approx((48 + 60 + 64) / 3)
    assert values["pitch_range"] == 16
    assert values["pitch_entropy"] == pytest.approx(-(2 / 3 * np.log2(2 / 3) + 1 / 3 * np.log2(1 / 3)))
    assert values["dynamics"] == VELOCITY_OF_BIN[5]
    assert values["note_length"] == pytest.approx((2 + 0.5 + 1) / 3)
    assert values["off_beat"] == 0


def test_segments_divide_notes_by_the_id_that_begins_them():
    ids = array(BOS, on(60), BEAT, off(60), BEAT, on(72), TIME_SHIFT.start + 7, off(72), on(74), BEAT, off(74))
    played = read_played(ids, 0)
    found = factors_of(played, 3, 4)  # ids 1–4, 5–8, 9–10
    assert found["register"].tolist()[:2] == [60, 73]
    assert np.isnan(found["register"][2])
    assert found["density"].tolist() == [0.5, 2 / (8 / 32), 0]
    assert found["off_beat"].tolist()[:2] == [0, 0.5]
    assert found["polyphony"][0] == 1
    assert found["polyphony"][2] == 1  # the last note still sounds


def test_window_inside_a_piece_hears_what_began_before():
    ids = array(BOS, SEP, on(64), BEAT, off(60), off(64), BEAT)
    played = read_played(ids, 100)
    assert sorted(zip(played.place.tolist(), played.pitch.tolist(), played.onset.tolist(), strict=True)) == [
        (BEFORE, 60, 100),
        (2, 64, 100),
    ]
    found = factors_of(played, 1, None)
    assert found["polyphony"] == 2
    assert found["register"] == 64
    assert found["off_beat"] == 1  # step 100 is on no beat


@pytest.mark.parametrize("parts", [False, True])
def test_notes_are_those_of_the_decoder(parts):
    codec = Codec(parts=parts)
    for seed in range(5):
        ids = codec.encode(tune(seed)).ids.astype(np.int64)
        played, notes = read_played(ids, 0), read_notes(ids)
        expected = sorted(zip(notes.pitch, notes.onset, notes.offset, VELOCITY_OF_BIN[notes.velocity], strict=True))
        found = sorted(zip(played.pitch, played.onset, played.offset, played.velocity, strict=True))
        assert found == expected
        assert len(found) > 10


def test_drums_have_rhythm_alone():
    head = (BOS, PART.start, PROGRAM.start + 128, PART.start + 1, PROGRAM.start, SEP)
    ids = array(*head, PART.start, on(36), BEAT, off(36), PART.start + 1, on(60), BEAT, off(60))
    found = factors_of(read_played(ids, 0), 1, None)
    assert found["density"] == 1
    assert found["register"] == 60
    assert found["polyphony"] == 1
    alone = factors_of(read_played(array(BOS, on(36), BEAT, off(36)), 0, drums=True), 1, None)
    assert alone["density"] == 1
    assert np.isnan([alone[name].item() for name in ("register", "polyphony", "pitch_range", "note_length")]).all()


def test_nothing_is_heard_in_nothing():
    for ids in (array(BOS, EOS), array(BOS, BEAT, BEAT)):
        found = factors_of(read_played(ids, 0), 2, 1)
        assert found["density"].tolist() == [0, 0]
        assert all(np.isnan(found[name]).all() for name in FACTORS if name != "density")
        assert keys_of(read_played(ids, 0), 2, 1) == ["", ""]


def test_seconds_have_no_beat():
    found = factors_of(read_played(array(BOS, on(60), TIME_SHIFT.start + 63, off(60)), 0), 1, None, time_base="seconds")
    assert (found["density"], found["note_length"]) == (1, 1)
    assert np.isnan(found["off_beat"]).all()


def test_keys_are_those_of_each_segment():
    scale = [60, 62, 64, 65, 67, 69, 71, 72, 67, 64, 60]
    notes = [i for pitch in scale for i in (on(pitch), BEAT, off(pitch))]
    higher = [i for pitch in scale for i in (on(pitch + 3), BEAT, off(pitch + 3))]
    played = read_played(array(BOS, *notes, *higher), 0)
    assert keys_of(played, 2, len(notes)) == ["C major", "Eb major"]

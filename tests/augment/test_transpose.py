import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.passages import codecs, frozen, whole, window
from tests.support.scores import score, scores, track

from aurl.augment import Augmenter, Passage
from aurl.midi.score import KeySignatures, Notes, Score, Track
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar

KEY = 1052
C_MAJOR = (60, 62, 64, 65, 67, 69, 71, 72)


def transposed(passage, low, high, seed=0):
    augmenter = Augmenter([{"kind": "transpose", "semitones": [low, high]}], time_base="beats")
    return augmenter(passage, np.random.default_rng(seed))


def scale_with_drums(*, fifths=0, minor=False):
    return score(
        track(*((16 * i, 16, pitch, 70) for i, pitch in enumerate(C_MAJOR)), program=0),
        track(*((32 * i, 1, 36, 70) for i in range(4)), is_drum=True),
        key_signatures=KeySignatures([0], [fifths], [minor]),
    )


def test_c_major_two_semitones_up_is_d_major_and_drums_stay():
    codec = Codec()
    changed = codec.decode(transposed(whole(scale_with_drums(), codec), 2, 2).ids)
    assert changed.tracks[0].notes.pitch.tolist() == [62, 64, 66, 67, 69, 71, 73, 74]
    assert set(changed.tracks[1].notes.pitch.tolist()) == {36}
    assert (changed.key_signatures.fifths[0], changed.key_signatures.minor[0]) == (2, False)


def tonic(fifths, minor):
    return (7 * fifths + 9 * minor) % 12


@pytest.mark.parametrize("minor", [False, True])
@pytest.mark.parametrize("fifths", range(-7, 8))
def test_the_key_moves_along_and_is_spelt_with_the_fewest_accidentals(fifths, minor):
    passage = whole(scale_with_drums(fifths=fifths, minor=minor), Codec())
    for semitones in range(-12, 13):
        key = int(transposed(passage, semitones, semitones).ids[1]) - KEY
        new_fifths, new_minor = key % 15 - 7, key // 15
        assert new_minor == minor
        assert tonic(new_fifths, minor) == (tonic(fifths, minor) + semitones) % 12
        if semitones % 12 == 0:
            assert new_fifths == fifths
        else:
            assert -5 <= new_fifths <= 6


@pytest.mark.parametrize(("low", "high"), [(-12, 12), (-127, 127), (3, 7)])
def test_every_distance_that_fits_is_drawn_and_no_other(low, high):
    passage = whole(score(track((0, 8, 1, 70), (8, 8, 120, 70)), track((0, 8, 0, 70), is_drum=True)), Codec())
    place = passage.ids.tolist().index(1)
    drawn = {int(transposed(passage, low, high, seed).ids[place]) - 1 for seed in range(400)}
    assert drawn == set(range(max(low, -1), min(high, 7) + 1))


def test_what_does_not_fit_at_all_stays():
    passage = whole(score(track((0, 8, 0, 70), (8, 8, 127, 70))), Codec())
    assert transposed(passage, 1, 5).ids.tolist() == passage.ids.tolist()


def test_a_note_that_began_before_the_passage_moves_too():
    passage = whole(score(track((0, 64, 60, 70), (32, 8, 62, 70))), Codec(parts=False, header=()))
    inside = window(passage, 3, len(passage.ids), 1)
    assert inside.ids.tolist() == [775, 287, 62, 263, 190, 279, 188, 776]
    assert transposed(inside, -1, -1).ids.tolist() == [775, 287, 61, 263, 189, 279, 187, 776]


def test_drums_stay_where_a_window_begins_among_them():
    drums = track((0, 8, 36, 70), (8, 8, 38, 70), (16, 8, 40, 70), is_drum=True)
    passage = whole(score(track((40, 8, 60, 70)), drums), Codec())
    at = passage.ids.tolist().index(38)
    changed = transposed(window(passage, at, len(passage.ids), 1), 5, 5)
    assert [token for token in changed.ids.tolist() if token < 128] == [38, 40, 65]


def test_without_parts_only_the_passage_can_say_that_it_is_a_drum_kit():
    drums = score(track((0, 8, 36, 70), is_drum=True))
    passage = whole(drums, Codec(parts=False))
    assert passage.is_drum
    assert transposed(passage, 3, 3).ids.tolist() == passage.ids.tolist()
    pitched = Passage(passage.ids, passage.header, 1)
    assert transposed(pitched, 3, 3).ids.tolist() == [775, 778, 771, 39, 263, 167, 776]


@given(scores(), codecs(time_base="beats"), st.integers(-12, 12), st.booleans())
@settings(max_examples=100, deadline=None)
def test_ids_are_those_of_the_transposed_score(piece, codec, semitones, as_notes):
    passage = whole(piece, codec)
    # `humanise` that moves nothing makes the body notes, so that the other way to transpose is taken.
    first = [{"kind": "humanise", "steps": 0, "share": 0.0}] if as_notes else []
    augmenter = Augmenter([*first, {"kind": "transpose", "semitones": [semitones, semitones]}], time_base="beats")
    changed = augmenter(passage, np.random.default_rng(0)).ids
    expected = codec.encode(by_score(piece, semitones, keep_drums=codec.parts)).ids
    without_notes = not any(len(one.notes) for one in piece.tracks if not one.is_drum)
    assert not_key(changed) == not_key(passage.ids if without_notes else expected)
    if not without_notes:
        assert [tonic_of(token) for token in changed.tolist() if token >= KEY] == [
            (tonic_of(token) + semitones) % 12 for token in passage.ids.tolist() if token >= KEY
        ]


def not_key(ids):
    return [token for token in ids.tolist() if token < KEY]


def tonic_of(token):
    return tonic((token - KEY) % 15 - 7, (token - KEY) // 15)


def by_score(piece: Score, semitones: int, *, keep_drums: bool) -> Score:
    tracks = []
    for one in piece.tracks:
        notes = one.notes
        pitch = notes.pitch.astype(int) + (0 if one.is_drum else semitones)
        tracks.append(Track(Notes(notes.onset, notes.duration, pitch, notes.velocity), one.program, one.is_drum))
    return Score(
        ticks_per_beat=piece.ticks_per_beat,
        tracks=tuple(tracks),
        tempos=piece.tempos,
        time_signatures=piece.time_signatures,
        key_signatures=piece.key_signatures,
    )


def test_grammar_after_the_furthest_move():
    passage = whole(scale_with_drums(), Codec())
    assert Grammar.of(Codec()).check(transposed(passage, 55, 55).ids) == []
    assert max(t for t in transposed(passage, 55, 55).ids.tolist() if t < 128) == 127
    assert transposed(Passage(frozen(passage.ids), passage.header, 1), 56, 60).ids.tolist() == passage.ids.tolist()

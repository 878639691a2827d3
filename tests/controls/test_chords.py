"""Chords among ids."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from tests.support.passages import header_length
from tests.support.scores import scores

from aurl.controls.chords import Chords, span_steps, with_chords
from aurl.controls.told import Heard, Passage
from aurl.studies.names import parse_chords
from aurl.tokens.codec import Codec
from aurl.tokens.decode import read_notes
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import BOS, CHORD, EOS, NOTE_OFF, SEP, TIME_SHIFT, VELOCITY

CODEC = Codec(parts=False, header=()).with_controls((), chords=True, infill=False)


def shift(steps):
    return TIME_SHIFT.start + steps - 1


def body_of(*chords, steps=64):
    """Each chord struck once, as ids."""
    ids = []
    for number, pitches in enumerate(chords):
        ids += [VELOCITY.start + 3] * (number == 0) + list(pitches)
        ids += [shift(steps), *(NOTE_OFF.start + pitch for pitch in pitches)]
    return np.array([*ids, EOS], np.uint16)


C, A_MINOR, F, G = (48, 60, 64, 67), (45, 60, 64, 69), (41, 60, 65, 69), (43, 59, 62, 67)


def test_each_chord_stands_before_the_level_and_the_notes_that_it_is_for():
    body = body_of(C, C, A_MINOR, F, G, G)
    passage = Passage(np.array([BOS, SEP, *body], np.uint16), 2, 1)
    chords = Heard.of(passage, CODEC).chords()
    ids, place = with_chords(body, chords, start_step=0)
    told = parse_chords("C Am F G")
    assert [i - CHORD.start for i in ids.tolist() if i >= CHORD.start] == list(told)
    assert place.tolist() == [0, 19, 28, 37]
    assert ids[0] == CHORD.start + told[0]
    assert ids[1] == VELOCITY.start + 3


def test_a_chord_that_no_note_begins_in_is_not_told():
    body = body_of(C, F, steps=300)
    ids, _ = with_chords(body, Chords(np.array([0, 100, 300]), np.array([5, 6, 7])), start_step=0)
    assert [i - CHORD.start for i in ids.tolist() if i >= CHORD.start] == [5, 7]


def test_the_one_in_force_is_told_where_music_begins_in_the_middle():
    chords = Chords(np.array([0, 64, 128, 192]), np.array([1, 1, 2, 2]))
    assert [column.tolist() for column in chords.told(100)] == [[100, 128], [1, 2]]
    assert [column.tolist() for column in chords.told(0)] == [[0, 128], [1, 2]]
    assert [column.tolist() for column in chords.told(500)] == [[500], [2]]


@pytest.mark.parametrize(("bar", "span"), [(128, 64), (96, 96), (192, 96), (112, 56), (64, 64), (None, 64)])
def test_long_bars_have_two_chords(bar, span):
    assert span_steps(bar) == span


@settings(max_examples=60, deadline=None)
@given(scores())
def test_streams_with_chords_keep_to_the_grammar_and_play_the_same_notes(piece):
    for parts in (True, False):
        codec = Codec(parts=parts, header=("time_signature",)).with_controls((), chords=True, infill=False)
        ids = codec.encode(piece).ids
        assume(piece.note_count)
        passage = Passage(ids, header_length(ids), 1)
        body, place = with_chords(ids[passage.header :], Heard.of(passage, codec).chords(), start_step=0)
        told = np.concatenate([ids[: passage.header], body])
        assert Grammar.of(codec).check(told) == []
        assert len(told) == len(ids) + len(place)
        before, after = read_notes(ids), read_notes(told)
        assert all(
            np.array_equal(getattr(before, name), getattr(after, name)) for name in ("part", "pitch", "onset", "offset")
        )

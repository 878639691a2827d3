"""Whatever the steps make of a piece can be spelt: legal streams that decode to the notes they hold."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.passages import codecs
from tests.support.preprocessing import STEPS
from tests.support.scores import scores

from aurl.midi.reasons import Rejected
from aurl.midi.repair import repair_notes
from aurl.preprocess import PREPROCESS
from aurl.tokens.grammar import Grammar

PIECES = scores(max_tracks=3).map(lambda piece: repair_notes(piece)[0])


def made(piece, steps):
    """The scores that the steps make of a piece, those that a filter rejects left out."""
    pieces = [piece]
    for kind, options in steps:
        step, after = PREPROCESS.build(kind, **options), []
        for one in pieces:
            try:
                done = step.counted(one)
            except Rejected:
                continue
            after += [done.score, *done.rest]
        pieces = after
    return pieces


def assert_legal(score, codec):
    encoded = codec.encode(score)
    back = codec.decode(encoded.ids, encoded.maps)
    lost = sum(count for name, count in encoded.repairs.items() if name != "tracks_merged")
    if codec.parts or not any(track.is_drum for track in score.tracks):
        assert score.note_count - lost <= back.note_count <= score.note_count
    if back.note_count:
        assert Grammar.of(codec).check(encoded.ids) == []


@pytest.mark.parametrize(("kind", "options"), STEPS)
@given(piece=PIECES, codec=codecs())
@settings(max_examples=6, deadline=None)
def test_what_a_step_makes_is_legal(kind, options, piece, codec):
    for score in made(piece, [(kind, options)]):
        assert_legal(score, codec)


@given(PIECES, st.lists(st.sampled_from(STEPS), min_size=2, max_size=4), codecs())
@settings(max_examples=60, deadline=None)
def test_what_several_steps_make_is_legal(piece, steps, codec):
    for score in made(piece, steps):
        assert_legal(score, codec)

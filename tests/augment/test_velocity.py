import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.passages import body_with, from_sep, whole, window
from tests.support.scores import score, scores, track

from aurl.augment import Augmenter
from aurl.tokens.codec import Codec

PLAIN = Codec(parts=False, header=())


def mapped(passage, seed=0, **options):
    fixed = {"shift": [0, 0], "scale": [1, 1], "curve": [1, 1]} | options
    return Augmenter([{"kind": "velocity", **fixed}], time_base="beats")(passage, np.random.default_rng(seed))


def levels(passage):
    back = PLAIN.decode(passage.ids).tracks[0].notes
    return [{11: 0, 33: 1, 54: 2, 75: 3, 96: 4, 117: 5}[velocity] for velocity in back.velocity.tolist()]


# One note of each level, each some time after the other.
STAIRS = whole(score(track(*((8 * i, 4, 60, velocity) for i, velocity in enumerate((11, 33, 54, 75, 96, 117))))), PLAIN)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"shift": [1, 1]}, [1, 2, 3, 4, 5, 5]),
        ({"shift": [-2, -2]}, [0, 0, 0, 1, 2, 3]),
        ({"shift": [9, 9]}, [5, 5, 5, 5, 5, 5]),
        # Middles 1/12, 3/12, … 11/12, halved: 1/24, 3/24, 5/24, …; a level is 4/24 wide.
        ({"scale": [0.5, 0.5]}, [0, 0, 1, 1, 2, 2]),
        ({"scale": [2, 2]}, [1, 3, 5, 5, 5, 5]),
        # Squared: 1, 9, 25, 49, 81, 121 of 144; a level is 24 of them.
        ({"curve": [2, 2]}, [0, 0, 1, 2, 3, 5]),
    ],
)
def test_levels_are_mapped_as_worked_out_by_hand(options, expected):
    assert levels(mapped(STAIRS, **options)) == expected


def test_a_level_that_did_not_change_is_not_told_again():
    loud = mapped(STAIRS, shift=[4, 4]).ids.tolist()
    assert loud == [775, 772, 60, 259, 188, 259, 773, 60, *[259, 188, 259, 60] * 4, 259, 188, 776]


def test_notes_of_one_step_whose_levels_become_one_are_put_in_order_of_pitch():
    passage = whole(score(track((0, 8, 72, 90), (0, 8, 60, 120))), PLAIN)
    assert passage.ids.tolist() == [775, 772, 72, 773, 60, 263, 188, 200, 776]
    assert mapped(passage, shift=[1, 1]).ids.tolist() == [775, 773, 60, 72, 263, 188, 200, 776]


def test_a_window_whose_level_has_become_the_one_in_force_does_not_tell_it():
    inside = window(STAIRS, 10, 14, 1)
    assert inside.ids.tolist() == [775, 259, 770, 60, 259]
    assert inside.velocity == 1
    louder, softer = mapped(inside, shift=[1, 1]), mapped(inside, shift=[-2, -2])
    assert (louder.velocity, louder.ids.tolist()) == (2, [775, 259, 771, 60, 259])
    assert (softer.velocity, softer.ids.tolist(), softer.context) == (0, [775, 259, 60, 259], 2)


def test_notes_at_the_level_in_force_are_mapped_once_where_others_become_one():
    rows = ((0, 4, 60, 33), (8, 4, 60, 33), (16, 4, 60, 96), (24, 4, 60, 117))
    inside = window(whole(score(track(*rows)), PLAIN), 6, 17, 1)
    assert inside.ids.tolist() == [775, 60, 259, 188, 259, 772, 60, 259, 188, 259, 773, 60]
    changed = mapped(inside, shift=[1, 1])
    assert changed.velocity == 2
    assert changed.ids.tolist() == [775, 60, 259, 188, 259, 773, 60, 259, 188, 259, 60]


def test_a_context_that_gets_shorter_still_ends_at_the_same_note():
    inside = window(STAIRS, 1, 14, 9)
    assert inside.ids.tolist()[:10] == [775, 768, 60, 259, 188, 259, 769, 60, 259, 188]
    changed = mapped(inside, shift=[-3, -3])
    assert changed.ids.tolist() == [775, 768, 60, 259, 188, 259, 60, 259, 188, 259, 60, 259]
    assert changed.ids[changed.context - 1] == 188
    assert changed.context == 9


def test_options_are_drawn_between_their_bounds():
    found = {tuple(levels(mapped(STAIRS, seed, shift=[-1, 1]))) for seed in range(60)}
    assert found == {(0, 1, 2, 3, 4, 5), (1, 2, 3, 4, 5, 5), (0, 0, 1, 2, 3, 4)}


@given(scores(), st.integers(-6, 6), st.booleans())
@settings(max_examples=100, deadline=None)
def test_ids_are_those_of_the_score_with_other_velocities(piece, shift, as_notes):
    passage = whole(piece, Codec())
    first = [{"kind": "humanise", "steps": 0, "share": 0.0}] if as_notes else []
    options = {"kind": "velocity", "shift": [shift, shift], "scale": [1, 1], "curve": [1, 1]}
    changed = Augmenter([*first, options], time_base="beats")(passage, np.random.default_rng(0))
    expected = body_with(passage.ids, lambda a, b, pitch, level: (a, b, pitch, min(max(level + shift, 0), 5)))
    assert from_sep(changed.ids.tolist()) == expected

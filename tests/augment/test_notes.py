import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.passages import EOS, PAD, VELOCITY, notes_by_hand, passages

from aurl.augment.notes import read_notes, running, spell
from aurl.tokens.encode import PART_IN_LANE
from aurl.tokens.vocabulary import VELOCITY as VELOCITY_GROUP


def in_force(passage):
    return {"start_step": passage.start_step, "part": passage.part, "velocity": passage.velocity}


@given(passages())
@settings(max_examples=150, deadline=None)
def test_notes_of_a_window_are_those_found_id_by_id(given_passage):
    _, passage = given_passage
    notes = read_notes(passage.ids[passage.header :], **in_force(passage))
    end, expected = notes_by_hand(passage)
    assert notes.end == end
    found = [
        (lane >> PART_IN_LANE, lane & 127, onset if begins else None, offset if ends else None, level * begins)
        for lane, onset, offset, begins, ends, level in zip(
            *(getattr(notes, name).tolist() for name in ("lane", "onset", "offset", "begins", "ends", "velocity")),
            strict=True,
        )
    ]
    assert sorted(found, key=str) == sorted([(*row[:4], row[4] or 0) for row in expected], key=str)
    times = list(zip(notes.lane.tolist(), notes.onset.tolist(), notes.offset.tolist(), strict=True))
    assert times == sorted(times)


@given(passages())
@settings(max_examples=150, deadline=None)
def test_notes_are_spelt_as_they_were_but_for_what_is_announced_at_the_end(given_passage):
    codec, passage = given_passage
    body = passage.ids[passage.header :]
    is_last = body.tolist()[-1:] == [EOS]
    again = spell(read_notes(body, **in_force(passage)), **in_force(passage), parts=codec.parts, is_last=is_last)
    expected = body.tolist()
    while not is_last and expected and expected[-1] >= VELOCITY:
        expected.pop()
    assert again.tolist() == expected


@given(st.lists(st.integers(760, 782)), st.integers(-1, 5))
def test_a_running_value_is_that_of_the_last_id_that_set_it(ids, before):
    expected = []
    for token in ids:
        before_here = expected[-1] if expected else before
        expected.append(token - VELOCITY if VELOCITY <= token < PAD else before_here)
    assert running(np.array(ids, np.uint16), VELOCITY_GROUP, before).tolist() == expected

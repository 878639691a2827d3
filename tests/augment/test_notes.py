import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.passages import EOS, PAD, PART, PROGRAM, SHIFT, VELOCITY, passages

from aurl.augment.notes import read_notes, running, spell
from aurl.tokens.encode import PART_IN_LANE
from aurl.tokens.vocabulary import VELOCITY as VELOCITY_GROUP


def in_force(passage):
    return {"start_step": passage.start_step, "part": passage.part, "velocity": passage.velocity}


def by_hand(passage):
    """(part, pitch, onset or None, offset or None, level) of each note, id by id."""
    now, part, level, sounding, found = passage.start_step, max(passage.part, 0), passage.velocity, {}, []
    for token in passage.ids[passage.header :].tolist():
        if token < 128:
            sounding[part, token] = (now, level)
        elif token < SHIFT:
            onset, loud = sounding.pop((part, token - 128), (None, None))
            found.append((part, token - 128, onset, now, loud))
        elif token < VELOCITY:
            now += token - SHIFT + 1
        elif token < PAD:
            level = token - VELOCITY
        elif PART <= token < PROGRAM:
            part = token - PART
    return now, found + [(*lane, onset, None, loud) for lane, (onset, loud) in sounding.items()]


@given(passages())
@settings(max_examples=150, deadline=None)
def test_notes_of_a_window_are_those_found_id_by_id(given_passage):
    _, passage = given_passage
    notes = read_notes(passage.ids[passage.header :], **in_force(passage))
    end, expected = by_hand(passage)
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

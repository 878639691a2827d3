import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurl.augment.passage import NOT_YET
from aurl.data.landmarks import STRIDE, Landmarks, Running, elapsed_steps
from aurl.tokens.vocabulary import BOS, PART, PROGRAM, SEP, TIME_SHIFT, VELOCITY

LONGEST = 4 * STRIDE + 3


def slow(ids, header, place):
    """What is in force at a place, id by id."""
    step, part, velocity = 0, NOT_YET, NOT_YET
    for token in ids[header:place].tolist():
        if 256 <= token < 768:
            step += token - 255
        elif 768 <= token < 774:
            velocity = token - 768
        elif 779 <= token < 811:
            part = token - 779
    return Running(step, part, velocity)


def piece(seed, length, *, rare):
    """A header that declares parts, then ids of which few or none set anything."""
    rng = np.random.default_rng(seed)
    header = [BOS, PART.start + 3, PROGRAM.start, PART.start + 4, PROGRAM.start + 9, SEP]
    body = rng.integers(0, 768, length)
    for group in (PART, VELOCITY):
        at = rng.random(length) < rare
        body[at] = group.start + rng.integers(0, group.size, at.sum())
    return np.concatenate([header, body]).astype(np.uint16), len(header)


@given(
    st.lists(
        st.tuples(st.integers(0, 2**32), st.integers(0, LONGEST), st.sampled_from([0, 0.001, 0.2])),
        min_size=1,
        max_size=3,
    ),
    st.data(),
)
def test_what_is_in_force_is_what_a_loop_finds(drawn, data):
    pieces = [piece(seed, length, rare=rare) for seed, length, rare in drawn]
    tokens = np.array([len(ids) for ids, _ in pieces])
    landmarks = Landmarks(tokens, np.array([header for _, header in pieces], np.int32))
    for _ in range(6):
        number = data.draw(st.integers(0, len(pieces) - 1))
        ids, header = pieces[number]
        place = data.draw(st.integers(header, len(ids)) | st.just(min(len(ids), 2 * STRIDE)))
        expected = slow(ids, header, place)
        assert landmarks.running(number, ids, place) == expected
        assert landmarks.step(number, ids, place) == expected.step


@pytest.mark.parametrize("header", [STRIDE - 1, STRIDE, STRIDE + 1, 3 * STRIDE])
def test_headers_may_be_longer_than_the_way_to_the_first_landmark(header):
    ids = np.full(5 * STRIDE, TIME_SHIFT.start, np.uint16)
    ids[:header] = PART.start
    landmarks = Landmarks(np.array([len(ids)]), np.array([header], np.int32))
    for place in (header, header + 1, 4 * STRIDE - 1, 4 * STRIDE, 5 * STRIDE):
        assert landmarks.running(0, ids, place) == Running(place - header, NOT_YET, NOT_YET)


def test_elapsed_steps_add_up():
    ids = np.array([0, TIME_SHIFT.start, 60, TIME_SHIFT.stop - 1, TIME_SHIFT.stop, 774], np.uint16)
    assert elapsed_steps(ids) == 1 + 512


def test_long_pauses_do_not_overflow():
    ids = np.full(1_000_000, TIME_SHIFT.stop - 1, np.uint16)
    assert elapsed_steps(ids) == 512_000_000
    ids[0] = BOS
    landmarks = Landmarks(np.array([len(ids)]), np.array([1], np.int32))
    assert landmarks.step(0, ids, len(ids)) == 512 * (len(ids) - 1)

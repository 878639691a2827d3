"""What is measured of music, on notes whose measures are plain to see."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurl.controls.facts import MEASURES, SCALES, Played, fact_value
from aurl.studies.pitch_classes import key_value
from aurl.tokens.vocabulary import ATTRIBUTE_BINS, FACTS


def played(*notes, steps=128, drums=(), going_on=()):
    """Notes as (onset, offset, pitch, level)."""
    onset, offset, pitch, level = (np.array(column, np.int64) for column in zip(*notes, strict=True))
    is_pitched, begins = np.ones(len(notes), np.bool_), np.ones(len(notes), np.bool_)
    is_pitched[list(drums)], begins[list(going_on)] = False, False
    return Played(onset, offset, pitch, level, is_pitched, begins, steps)


def test_of_four_beats_with_a_chord_and_a_drum():
    music = played((0, 64, 60, 2), (0, 64, 64, 4), (64, 96, 67, 3), (96, 100, 38, 5), drums=[3])
    assert MEASURES["density"](music) == 4 / 4
    assert MEASURES["polyphony"](music) == pytest.approx((64 * 2 + 32) / 96)
    assert MEASURES["register"](music) == pytest.approx((60 + 64 + 67) / 3)
    assert MEASURES["dynamics"](music) == pytest.approx(14 / 4)


def test_notes_that_only_go_on_are_heard_and_not_counted():
    music = played((0, 32, 40, 0), (0, 32, 80, 4), going_on=[0])
    assert (MEASURES["density"](music), MEASURES["polyphony"](music)) == (0.25, 2.0)
    assert (MEASURES["register"](music), MEASURES["dynamics"](music)) == (80.0, 4.0)


def test_of_drums_alone_some_is_not_known():
    music = played((0, 4, 38, 3), (32, 36, 40, 3), drums=[0, 1])
    assert {name: fact_value(name, music) is None for name in FACTS} == {
        "key": True, "density": False, "polyphony": True, "register": True, "dynamics": False,
    }  # fmt: skip


def test_notes_of_no_length_make_no_polyphony():
    assert MEASURES["polyphony"](played((0, 0, 60, 1), (8, 8, 62, 1))) is None


@pytest.mark.parametrize("tonic", range(12))
def test_the_key_of_a_scale_on_its_triad(tonic):
    degrees = [0, 2, 4, 5, 7, 9, 11, 12, 7, 4, 0, 0]
    music = played(*((8 * n, 8 * n + 8, 48 + tonic + degree, 3) for n, degree in enumerate(degrees)))
    assert fact_value("key", music) == key_value(tonic, minor=False)


@pytest.mark.parametrize("name", SCALES)
def test_each_value_is_that_of_its_centre(name):
    scale = SCALES[name]
    centres = [scale.number(value) for value in range(ATTRIBUTE_BINS)]
    assert [scale.value(centre) for centre in centres] == list(range(ATTRIBUTE_BINS))
    assert (centres[0], centres[-1]) == (pytest.approx(scale.low), pytest.approx(scale.high))
    steps = np.diff(np.log(centres) if scale.is_log else centres)
    assert np.allclose(steps, steps[0])


@given(st.sampled_from(sorted(SCALES)), st.floats(0, 200), st.floats(0, 200))
def test_more_is_never_less(name, one, other):
    low, high = sorted((one, other))
    assert 0 <= SCALES[name].value(low) <= SCALES[name].value(high) < ATTRIBUTE_BINS


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 60)), min_size=1, max_size=12))
def test_polyphony_is_that_of_a_count_step_by_step(spans):
    music = played(*((begin, begin + length, 60, 3) for begin, length in spans))
    counts = [sum(begin <= step < begin + length for begin, length in spans) for step in range(130)]
    sounding = [count for count in counts if count]
    assert MEASURES["polyphony"](music) == pytest.approx(np.mean(sounding))

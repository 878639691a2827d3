import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurl.studies.key import MAJOR, MINOR, estimate_key
from aurl.studies.pitch_classes import KEYS

MINOR_TUNE = ([60, 63, 67, 68, 67, 65, 62, 59, 60], [2, 1, 1, 1, 1, 1, 1, 1, 4])


def test_the_correlation_is_that_of_numpy():
    found = estimate_key(np.array([60, 64, 67, 72, 74]), np.array([3, 1, 2, 1, 1]))
    sounding = [4, 0, 1, 0, 1, 0, 0, 2, 0, 0, 0, 0]
    expected = [
        np.corrcoef(sounding, np.roll(profile, tonic))[0, 1] for profile in (MAJOR, MINOR) for tonic in range(12)
    ]
    assert (found.tonic, found.minor) == divmod(int(np.argmax(expected)), 12)[::-1]
    assert found.correlation == pytest.approx(max(expected))


def test_a_tune_in_c_minor_has_three_flats():
    found = estimate_key(*map(np.array, MINOR_TUNE))
    assert found[:2] == (0, True)
    assert KEYS[found.value] == (-3, True)


@given(st.lists(st.tuples(st.integers(12, 100), st.integers(1, 64)), min_size=3), st.integers(-12, 12))
def test_the_key_moves_with_the_notes(notes, semitones):
    pitch, weight = np.array(notes).T
    found, moved = estimate_key(pitch, weight), estimate_key(pitch + semitones, weight)
    if found is None:
        assert moved is None
        return
    assert moved.correlation == pytest.approx(found.correlation)
    sounding = np.bincount(pitch % 12, weights=weight, minlength=12)
    fits = [np.corrcoef(sounding, np.roll(profile, tonic))[0, 1] for profile in (MAJOR, MINOR) for tonic in range(12)]
    if np.diff(np.sort(fits)[-2:]) > 1e-9:
        assert moved[:2] == ((found.tonic + semitones) % 12, found.minor)


@pytest.mark.parametrize("pitch", [[], list(range(12))])
def test_what_is_alike_in_all_keys_has_none(pitch):
    assert estimate_key(np.array(pitch, np.uint8), np.ones(len(pitch), np.int64)) is None

"""What counts as an even way, by hand-worked courses."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from tests.support.tunes import tune

from aurl.evaluation.metrics import note_density
from aurl.latent.smoothness import Smoothness, averaged, heard, monotone_share, smoothness
from aurl.tokens.codec import Codec

ONE = {"density": 1.0}


def course(values, deviation=1.0):
    return smoothness([{"density": value} for value in values], {"density": deviation}).courses.get("density")


@pytest.mark.parametrize(
    ("values", "monotone"),
    [
        ([0, 1, 2, 3], True),
        ([3, 2, 1, 0], True),
        ([0, 0, 0, 5], True),
        ([0, 2, 1.8, 3], True),  # back by 0.2 of 3
        ([0, 2, 1.6, 3], False),  # by 0.4; rank 0.8
        ([0, 5, -1, 3], False),
        ([0, 1, 2, 3, 4, 5, 4.2], True),  # rank 0.96
    ],
)
def test_monotone_courses(values, monotone):
    found = course(values)
    assert found.is_monotone is monotone
    assert found.change == values[-1] - values[0]
    sign = 1 if values[-1] > values[0] else -1
    assert found.rank == pytest.approx(spearmanr(np.arange(len(values)), sign * np.array(values))[0])


def test_ends_that_hardly_differ_have_no_way_between_them():
    assert course([0, 3, 0.4]) is None
    assert course([0, 3, 0.5]) is not None
    assert course([0, 3, 4], deviation=10) is None
    assert course([0, float("nan"), 4]) is None
    assert course([0, 1], deviation=0) is None


def test_detours():
    """Along two sides of a square and along its diagonal."""
    square = [{"a": 0, "b": 0}, {"a": 1, "b": 0}, {"a": 1, "b": 1}]
    assert smoothness(square, {"a": 1, "b": 1}).detour == pytest.approx(2 / np.sqrt(2))
    straight = [{"a": 0, "b": 0}, {"a": 0.2, "b": 0.4}, {"a": 1, "b": 2}]
    assert smoothness(straight, {"a": 1, "b": 1}).detour == pytest.approx(1)
    assert smoothness(square, {"a": 1, "b": 0.5}).detour == pytest.approx(3 / np.sqrt(5))
    assert np.isnan(smoothness([square[0], square[1], square[0]], {"a": 1, "b": 1}).detour)
    assert smoothness([{"a": np.nan}] * 2, {"a": 1}) == Smoothness({}, pytest.approx(np.nan, nan_ok=True))


def test_shares_over_ways():
    even, odd = (smoothness([{"density": v} for v in values], ONE) for values in ([0, 1, 2], [0, 5, 2]))
    still = smoothness([{"density": v} for v in (0, 9, 0)], ONE)
    assert monotone_share([even, odd, even, still]) == {"density": pytest.approx(2 / 3)}
    assert monotone_share([still]) == {}


def test_averages():
    assert averaged([{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": np.nan}]) == pytest.approx(
        {"a": 2.0, "b": np.nan}, nan_ok=True
    )


def test_what_is_heard_of_a_whole_piece():
    codec = Codec(time_base="beats")
    score = codec.decode(codec.encode(tune(1)).ids)
    found = heard(score, codec)
    assert found["density"] == pytest.approx(note_density(score), rel=0.02)
    pitches = np.concatenate([track.notes.pitch for track in score.tracks if not track.is_drum])
    assert found["register"] == pytest.approx(pitches.mean())

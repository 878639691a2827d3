import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.scores import score, track

from aurl.preprocess import PREPROCESS
from aurl.preprocess.velocity import MOST_GAIN, phrase_level

CURVES = ("linear", "soft", "hard", "s_curve", "histogram")
BEAT = 480


def levelled(piece, **options):
    return PREPROCESS.build("velocity", **options).counted(piece)


def velocities(result, index=0):
    return result.score.tracks[index].notes.velocity.tolist()


def line(loudness, **options):
    return track(*((i * BEAT, 400, 60 + i % 5, value) for i, value in enumerate(loudness)), **options)


def played(bars=32, seed=0):
    """Phrases of eight beats that swell and fade, with accents on every other note and a player's scatter."""
    beat = np.arange(4 * bars)
    swell = 60 + 18 * np.sin(2 * np.pi * beat / 32)
    touch = 8 * (beat % 2) + np.random.default_rng(seed).normal(0, 2, len(beat))
    return np.rint(swell + touch).astype(int).tolist()


def test_mean_and_spread_become_what_they_should():
    assert velocities(levelled(score(line([50, 70]), ticks_per_beat=BEAT), mean=72, spread=15)) == [57, 87]
    assert velocities(levelled(score(line([50, 70]), ticks_per_beat=BEAT), mean=72, spread=0)) == [72, 72]


@pytest.mark.parametrize("curve", CURVES)
def test_every_curve_meets_the_targets(curve):
    values = velocities(levelled(score(line(played()), ticks_per_beat=BEAT), mean=80, spread=12, curve=curve))
    assert np.mean(values) == pytest.approx(80, abs=0.3)
    assert np.std(values) == pytest.approx(12, abs=0.3)


def accented(bars=32):
    """Every eighth note is an accent in the first half, every other in the second: what curves bend differs."""
    beat = np.arange(4 * bars)
    return np.where(beat % np.where(beat < 2 * bars, 8, 2) == 0, 100, 60 + beat % 3).tolist()


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("music", [played(), accented()])
def test_phrases_keep_their_shape(curve, music):
    piece = score(line(music), ticks_per_beat=BEAT)
    before, after = (
        phrase_level(p.tracks[0].notes.onset, p.tracks[0].notes.velocity.astype(float), 8 * BEAT)
        for p in (piece, levelled(piece, curve=curve).score)
    )
    assert np.corrcoef(before, after)[0, 1] > 0.98


def test_curves_bend_how_notes_stand_out():
    few_loud = [60] * 40
    few_loud[::8] = [90] * 5
    few_loud[1::8] = [56] * 5

    def skew(**options):
        values = np.array(velocities(levelled(score(line(few_loud), ticks_per_beat=BEAT), **options)), float)
        return np.mean(((values - values.mean()) / values.std()) ** 3)

    assert skew(curve="soft") < skew(curve="linear") < skew(curve="hard")
    assert abs(skew(curve="histogram")) < abs(skew(curve="linear"))
    middle = [60 + x for x in (0, 6, -6, 24, -24, 6, -6, 0)] * 8
    flat, steep = (
        np.array(velocities(levelled(score(line(middle), ticks_per_beat=BEAT), curve=curve)))[[1, 3]]
        for curve in ("linear", "s_curve")
    )
    assert steep[0] - 72 > flat[0] - 72
    assert steep[1] < flat[1]


def test_phrase_level_is_the_mean_within_half_a_window():
    onset = np.array([0, 100, 200, 300, 1000])
    level = phrase_level(onset, np.array([10.0, 20, 60, 40, 5]), 200)
    assert level.tolist() == [15, 30, 40, 50, 5]


@pytest.mark.parametrize("curve", CURVES)
def test_one_velocity_throughout_stays_so(curve):
    piece = score(line([100] * 20), track((3, 5, 40, 100)), ticks_per_beat=BEAT)
    result = levelled(piece, curve=curve, mean=70)
    assert set(velocities(result)) | set(velocities(result, 1)) == {70}


def test_small_differences_are_not_blown_up():
    assert velocities(levelled(score(line([64, 66]), ticks_per_beat=BEAT), spread=30)) == [
        72 - MOST_GAIN, 72 + MOST_GAIN,
    ]  # fmt: skip


def test_balance_of_tracks_stays():
    result = levelled(score(line([90] * 8), line([50] * 8), ticks_per_beat=BEAT), mean=70, spread=10)
    assert velocities(result) == [80] * 8
    assert velocities(result, 1) == [60] * 8


def test_drums_are_by_themselves_or_left_alone():
    piece = score(line([80, 100]), line([30, 40], is_drum=True), ticks_per_beat=BEAT)
    both = levelled(piece, mean=60, spread=10)
    assert (velocities(both), velocities(both, 1)) == ([50, 70], [50, 70])
    pitched = levelled(piece, mean=60, spread=10, drums=False)
    assert (velocities(pitched), velocities(pitched, 1)) == ([50, 70], [30, 40])


def test_what_would_leave_the_range_is_counted():
    result = levelled(score(line([60] * 30 + [100]), ticks_per_beat=BEAT), mean=110, spread=30)
    assert max(velocities(result)) == 127
    assert result.repairs == {"velocity_clipped": 1}


@given(st.lists(st.integers(1, 127), min_size=1, max_size=40), st.integers(1, 127), st.floats(0, 64))
@settings(max_examples=50, deadline=None)
def test_louder_notes_stay_louder_on_a_straight_curve(loudness, mean, spread):
    values = velocities(levelled(score(line(loudness), ticks_per_beat=BEAT), mean=mean, spread=spread))
    order = np.argsort(loudness, kind="stable")
    assert (np.diff(np.array(values)[order]) >= 0).all()


def test_an_unknown_curve_is_refused():
    with pytest.raises(ValueError, match="known"):
        PREPROCESS.build("velocity", curve="cubic")

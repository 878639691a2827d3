from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.reference_codec import step_of
from tests.support.scores import score, scores

from aurl.midi.reasons import Rejected
from aurl.midi.score import Tempos
from aurl.tokens.timing import MAX_STEPS, to_steps, to_ticks

RESOLUTIONS = [1, 24, 96, 120, 220, 480, 1024, 10080, 32767]


@given(scores(max_tracks=0), st.lists(st.integers(0, 2_000_000), min_size=1), st.sampled_from(["beats", "seconds"]))
def test_steps_are_the_nearest_in_exact_arithmetic(piece, ticks, time_base):
    try:
        steps = to_steps(np.array(ticks), piece.ticks_per_beat, piece.tempos, time_base)
    except Rejected:
        assert max(step_of(tick, piece, time_base) for tick in ticks) >= MAX_STEPS
    else:
        assert steps.tolist() == [step_of(tick, piece, time_base) for tick in ticks]


@pytest.mark.parametrize("ticks_per_beat", RESOLUTIONS)
def test_beats_come_back_within_half_a_tick_of_the_grid_at_the_end_of_a_day(ticks_per_beat):
    steps = np.arange(MAX_STEPS - 2000, MAX_STEPS)
    ticks = to_ticks(steps, ticks_per_beat, Tempos(), "beats")
    exact = [Fraction(step * ticks_per_beat, 32) for step in steps.tolist()]
    assert max(abs(tick - at) for tick, at in zip(ticks.tolist(), exact, strict=True)) <= Fraction(1, 2)


def test_a_thousand_odd_tempi_do_not_drift():
    rng = np.random.default_rng(5)
    tempos = Tempos(np.arange(1000) * 997, rng.integers(333_333, 777_777, 1000))
    ticks = rng.integers(990 * 997, 1_500_000, 500)
    piece = score(ticks_per_beat=220, tempos=tempos)
    steps = to_steps(ticks, 220, tempos, "seconds")
    assert steps.tolist() == [step_of(tick, piece, "seconds") for tick in ticks.tolist()]
    assert np.abs(to_ticks(steps, 220, tempos, "seconds") - ticks).max() <= floor(0.5 / 64 / 0.333 * 220 + 0.5) + 1


@given(scores(max_tracks=0), st.lists(st.integers(0, 100_000), min_size=1))
def test_steps_finer_than_ticks_give_every_tick_back(piece, ticks):
    ticks = np.array(ticks)
    if piece.ticks_per_beat <= 32:
        steps = to_steps(ticks, piece.ticks_per_beat, piece.tempos, "beats")
        assert to_ticks(steps, piece.ticks_per_beat, piece.tempos, "beats").tolist() == ticks.tolist()


def test_of_two_tempi_on_one_tick_the_last_counts():
    tempos = Tempos([0, 0, 480, 480], [100, 1_000_000, 100, 250_000])
    assert to_steps(np.array([480, 960]), 480, tempos, "seconds").tolist() == [64, 80]


def test_a_tempo_of_nothing_does_not_stop_time():
    tempos = Tempos([0], [0])
    assert to_ticks(np.array([0, 1]), 480, tempos, "seconds")[1] > 0

"""Ticks, seconds and bars against sums done step by step."""

import mido
import numpy as np
import pytest

from aurl.midi.clock import MAX_BARS, bar_ticks, seconds_at, ticks_at
from aurl.midi.score import Score, Tempos, TimeSignatures

TEMPOS = Tempos([0, 960, 1000, 5000], [500_000, 250_000, 1_000_000, 333_333])


def mido_seconds(score, tick):
    total, at, tempo = 0.0, 0, 500_000
    for begin, length in [*zip(score.tempos.tick.tolist(), score.tempos.microseconds_per_beat.tolist(), strict=True)]:
        if begin >= tick:
            break
        total += mido.tick2second(begin - at, score.ticks_per_beat, tempo)
        at, tempo = begin, length
    return total + mido.tick2second(tick - at, score.ticks_per_beat, tempo)


@pytest.mark.parametrize("tempos", [Tempos(), TEMPOS, TEMPOS.take(slice(1, None))], ids=["none", "from 0", "later"])
def test_seconds_equal_midos(tempos):
    score = Score(ticks_per_beat=480, tempos=tempos)
    ticks = [0, 1, 959, 960, 961, 1000, 3000, 5000, 100_000]
    np.testing.assert_allclose(seconds_at(score, ticks), [mido_seconds(score, tick) for tick in ticks], rtol=1e-12)


def test_ticks_and_seconds_are_inverse():
    score = Score(ticks_per_beat=96, tempos=TEMPOS)
    ticks = np.arange(0, 20_000, 7)
    np.testing.assert_array_equal(ticks_at(score, seconds_at(score, ticks)), ticks)


def test_bars_follow_the_meter_map():
    meters = TimeSignatures([0, 2880, 4320], [3, 6, 4], [4, 8, 4])
    bars = bar_ticks(Score(ticks_per_beat=480, time_signatures=meters), 9000)
    assert bars.tolist() == [0, 1440, 2880, 4320, 6240, 8160]


def test_without_a_meter_bars_have_four_quarters():
    assert bar_ticks(Score(ticks_per_beat=100), 800).tolist() == [0, 400, 800]
    late = Score(ticks_per_beat=100, time_signatures=TimeSignatures([800], [2], [4]))
    assert bar_ticks(late, 1200).tolist() == [0, 400, 800, 1000, 1200]


def test_a_change_within_a_bar_begins_a_new_one():
    meters = TimeSignatures([0, 1000], [4, 4], [4, 4])
    assert bar_ticks(Score(ticks_per_beat=480, time_signatures=meters), 3000).tolist() == [0, 1000, 2920]


def test_the_number_of_bars_is_bounded():
    meters = TimeSignatures([0, 10**6], [1, 1], [1024, 1024])
    bars = bar_ticks(Score(ticks_per_beat=1, time_signatures=meters), 2**31)
    assert len(bars) == MAX_BARS
    assert (np.diff(bars) > 0).all()


def test_an_empty_score_has_one_bar_line():
    assert bar_ticks(Score(), 0).tolist() == [0]

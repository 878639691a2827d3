import math
import random
from statistics import median

import pytest

from aurl.training.vigil import MIN_HISTORY, Health, Vigil, Watch, threshold

VIGIL = Vigil(k=8.0, history=32, persistence=3, broken_updates=2)


def judged(watch, *lines, **options):
    return [VIGIL.judge(watch, nats, norm, **options).health for nats, norm in lines]


def calm(count=20, seed=0):
    rng = random.Random(seed)
    return [(2.0 + rng.gauss(0, 0.02), 1.0 + rng.gauss(0, 0.1)) for _ in range(count)]


def test_the_threshold_by_hand():
    """Median 5, distances 4 3 2 1 0 1 2 3 4: their median is 2."""
    history = [9.0, 1.0, 2.0, 8.0, 3.0, 7.0, 4.0, 6.0, 5.0]
    assert threshold(history, 2.0, 0.0) == 5 + 2 * 1.4826 * 2
    assert threshold(history, 2.0, 0.8) == 5 + 2 * 0.8 * 5
    assert threshold([3.0] * 9, 10.0, 0.02) == pytest.approx(3 * 1.2)


def test_short_histories_and_k_of_nothing_know_no_spike():
    assert threshold([1.0] * (MIN_HISTORY - 1), 8.0, 0.1) == math.inf
    assert threshold([1.0] * 100, 0.0, 0.1) == math.inf


def test_normal_noise_is_no_spike():
    """Of 20,000 lines."""
    watch = Watch()
    assert set(judged(watch, *calm(20_000))) == {Health.SOUND}
    assert len(watch.nats) == len(watch.norms) == 32
    assert median(watch.nats) == pytest.approx(2.0, abs=0.02)


def test_a_loss_that_stays_up_is_lost():
    watch = Watch()
    judged(watch, *calm())
    before = list(watch.nats)
    assert judged(watch, *[(4.0, 1.0)] * 3) == [Health.SUSPICIOUS, Health.SUSPICIOUS, Health.LOST]
    assert watch.nats == before, "what is a spike is no history"


def test_a_spike_that_passes_is_forgotten():
    watch = Watch()
    judged(watch, *calm())
    spikes = judged(watch, (4.0, 1.0), (4.0, 1.0), (2.0, 1.0), (4.0, 1.0), (4.0, 1.0), (2.0, 1.0))
    assert spikes == [Health.SUSPICIOUS, Health.SUSPICIOUS, Health.SOUND] * 2
    assert not watch.suspicious


def test_gradients_alone_are_suspicious_until_they_are_usual():
    watch = Watch()
    judged(watch, *calm())
    assert judged(watch, *[(2.0, 50.0)] * 4) == [Health.SUSPICIOUS, Health.SUSPICIOUS, Health.SOUND, Health.SOUND]
    assert watch.norms == [50.0] * 2
    assert not watch.suspicious


def test_another_phase_begins_another_history_of_gradients():
    watch = Watch()
    judged(watch, *calm())
    assert judged(watch, (2.0, 50.0), phase=1) == [Health.SOUND]
    assert watch.norms == [50.0]
    assert len(watch.nats) == 21


@pytest.mark.parametrize("line", [(math.nan, 1.0), (math.inf, 1.0), (2.0, math.nan), (2.0, -math.inf)])
def test_what_is_no_number_is_lost_at_once(line):
    watch = Watch()
    assert judged(watch, line) == [Health.LOST]


def test_part_of_a_line_may_be_doubted_without_being_remembered():
    watch = Watch()
    judged(watch, *calm())
    before = (list(watch.nats), watch.spikes)
    assert [VIGIL.is_spike(watch, *line) for line in [(2.0, 1.0), (4.0, 1.0), (2.0, 50.0), (math.nan, 1.0)]] == [
        False,
        True,
        True,
        True,
    ]
    assert (watch.nats, watch.spikes) == before


def test_updates_in_a_row_without_a_gradient():
    watch = Watch()
    found = [VIGIL.count(watch, broken).health for broken in (0, 1, 2)]
    assert found == [Health.SOUND, Health.SUSPICIOUS, Health.LOST]
    assert watch.suspicious
    assert VIGIL.count(watch, 0).health is Health.SOUND
    assert not watch.suspicious

import json
import math

import pytest

from aurl.errors import UsageError
from aurl.loss.schedules import KL_SCHEDULES, adaptive, constant, cosine, cyclical, exponential, linear

SHAPE = {"start": 0.01, "hold": 0.2, "full": 0.6}
POINTS = (0.0, 0.2, 0.3, 0.4, 0.6, 1.0)
QUARTER = 0.5 * (1 - math.cos(math.pi / 4))
BY_HAND = {
    linear: (0.01, 0.01, 0.01 + 0.99 / 4, 0.505, 1.0, 1.0),
    exponential: (0.01, 0.01, 0.01 * 10**0.5, 0.1, 1.0, 1.0),
    cosine: (0.01, 0.01, 0.01 + 0.99 * QUARTER, 0.505, 1.0, 1.0),
}


@pytest.mark.parametrize("kind", KL_SCHEDULES.kinds())
def test_every_kind_stays_as_it_is_once_it_has_settled(kind):
    """Beginning, whole course and end lie between 0 and 1; a controller that is told nothing does not move either."""
    schedule = KL_SCHEDULES.build(kind)
    course = [schedule.factor(step / 1000) for step in range(1001)]
    assert all(0 <= factor <= 1 for factor in course)
    assert len({factor for step, factor in enumerate(course) if step / 1000 >= schedule.settled}) == 1
    assert 0 <= schedule.settled <= 1


@pytest.mark.parametrize("kind", KL_SCHEDULES.kinds())
def test_every_kind_goes_on_from_what_it_has_learned(kind):
    first, second = KL_SCHEDULES.build(kind), KL_SCHEDULES.build(kind)
    observed = (0.9, 0.31, 0.05, 0.2, 1 / 3)
    for kl in observed:
        first.observe(kl)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for kl in observed:
        assert second.factor(0.37) == first.factor(0.37)
        first.observe(kl)
        second.observe(kl)
    assert (second.factor(0.9), second.settled) == (first.factor(0.9), first.settled)


@pytest.mark.parametrize("kind", KL_SCHEDULES.kinds())
def test_what_another_kind_has_left_begins_as_new(kind):
    schedule = KL_SCHEDULES.build(kind)
    schedule.load_state_dict({})
    assert schedule.factor(0.1) == KL_SCHEDULES.build(kind).factor(0.1)


@pytest.mark.parametrize("rising", list(BY_HAND))
def test_a_rise_by_hand(rising):
    schedule = rising(**SHAPE)
    assert [schedule.factor(done) for done in POINTS] == pytest.approx(BY_HAND[rising])
    assert schedule.settled == 0.6


@pytest.mark.parametrize("rising", list(BY_HAND))
def test_a_rise_that_ends_before_it_begins_is_a_step(rising):
    schedule = rising(start=0.1, hold=0.7, full=0.5)
    assert [schedule.factor(done) for done in (0.0, 0.49, 0.5, 0.7, 1.0)] == [0.1, 0.1, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("rising", list(BY_HAND))
def test_from_one_to_one_nothing_moves(rising):
    schedule = rising(start=1.0, hold=0.3, full=0.9)
    assert schedule.settled == 0
    assert schedule.factor(0.5) == 1


def test_constant_is_one_from_the_start():
    assert (constant().factor(0.0), constant().factor(1.0), constant().settled) == (1.0, 1.0, 0.0)


def test_cycles_by_hand():
    """Two halves, each rising in its first quarter of the whole: 0 → 1, 1, 0 → 1, 1."""
    schedule = cyclical(cycles=2, rise=0.5, start=0.2)
    course = [schedule.factor(done) for done in (0.0, 0.125, 0.25, 0.499, 0.5, 0.625, 0.75, 1.0)]
    assert course == pytest.approx([0.2, 0.6, 1.0, 1.0, 0.2, 0.6, 1.0, 1.0])
    assert schedule.settled == 0.75
    assert cyclical(rise=0.0).factor(0.0) == 1.0
    assert cyclical(rise=1.0).factor(1.0) == 1.0


def test_a_controllers_steps_by_hand():
    """Twice and half the target: factors 2 ** 0.5 and 0.5 ** 0.5; no KL at all counts as a factor e too little."""
    schedule = adaptive(target=0.4, speed=0.5, smallest=0.01, largest=1.0)
    assert schedule.factor(0.0) == pytest.approx(0.01)
    schedule.observe(0.8)
    assert schedule.factor(0.0) == pytest.approx(0.01 * 2**0.5)
    schedule.observe(40.0)
    assert schedule.factor(0.0) == pytest.approx(0.01 * 2**0.5 * math.exp(0.5))
    schedule.observe(0.2)
    assert schedule.factor(0.0) == pytest.approx(0.01 * math.exp(0.5))
    for _ in range(3):
        schedule.observe(0.0)
    assert schedule.factor(0.0) == pytest.approx(0.01)


def plant(schedule, *, cost, lag, observations):
    """Latents whose KL goes to `cost / factor ** 0.7` with a lag, as a model follows its weights; the last of them."""
    kl, course = cost(schedule.factor(0.0)), []
    for _ in range(observations):
        kl += (cost(schedule.factor(0.0)) - kl) / lag
        course.append(kl)
        schedule.observe(kl)
    return course


@pytest.mark.parametrize("target", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("lag", [1, 3, 10])
def test_a_controller_reaches_its_target(target, lag):
    """The KL costs 2 nats per token at beta's smallest share and 0.016 at beta itself."""
    schedule = adaptive(target=target)
    course = plant(schedule, cost=lambda factor: 0.016 * factor**-0.7, lag=lag, observations=400)
    assert course[0] > 2 * target
    assert course[-50:] == pytest.approx([target] * 50, rel=0.02)
    assert schedule.settled == 0


def test_a_target_out_of_reach_leaves_beta_at_its_bound():
    """And is no error that piles up: after one observation of the contrary, beta moves."""
    high = adaptive(target=0.1, speed=0.1)
    assert high.settled == 1
    for _ in range(100):
        high.observe(0.5)
    assert (high.factor(0.0), high.settled) == (1.0, 0.0)
    high.observe(0.05)
    assert high.factor(0.0) == pytest.approx(0.5**0.1)
    low = adaptive(target=0.1, smallest=0.02)
    low.observe(0.01)
    assert (low.factor(0.0), low.settled) == (pytest.approx(0.02), 0.0)


def test_bounds_the_wrong_way_round_are_refused():
    with pytest.raises(UsageError, match="below the smallest"):
        adaptive(smallest=0.5, largest=0.1)

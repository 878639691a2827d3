import pytest

from aurl.profile import load_profile
from aurl.training.schedules import SCHEDULES, learning_rate


def rate(step: int, horizon: int = 1000, *, kind: str = "cosine", warmup: int = 100, floor: float = 0.1, **options):
    schedule = SCHEDULES.build(kind, **options)
    return learning_rate(step, horizon, lr=1.0, warmup_steps=warmup, min_lr_ratio=floor, schedule=schedule)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.01),  # 1/100 of the way up
        (49, 0.5),
        (99, 1.0),
        (100, 1.0),
        (550, 0.55),  # half-way down: the middle of 1 and 0.1
        (325, 0.1 + 0.9 * 0.8535533905932737),  # (1 + cos 45°) / 2
        (1000, 0.1),
        (5000, 0.1),
    ],
)
def test_cosine_by_hand(step, expected):
    assert rate(step) == pytest.approx(expected, rel=1e-12)


def test_constant_stays():
    assert [rate(step, kind="constant") for step in (99, 500, 1000, 9999)] == [1.0] * 4


@pytest.mark.parametrize(("step", "expected"), [(500, 1.0), (820, 1.0), (910, 0.55), (1000, 0.1)])
def test_stable_decay_falls_over_its_last_share(step, expected):
    assert rate(step, kind="stable_decay", decay_share=0.2) == pytest.approx(expected, rel=1e-12)


def test_short_runs_warm_up_for_a_fifth_at_most():
    assert rate(19, 100, warmup=200) == 1.0
    assert rate(0, 100, warmup=200) == pytest.approx(1 / 20)


def test_no_warm_up_starts_at_the_peak():
    assert rate(0, warmup=0) == 1.0


@pytest.mark.parametrize("kind", SCHEDULES.kinds())
def test_every_kind_warms_up_in_a_straight_line(kind):
    assert [rate(step, kind=kind) for step in range(101)] == pytest.approx(
        [(step + 1) / 100 for step in range(100)] + [1.0]
    )


@pytest.mark.parametrize("kind", SCHEDULES.kinds())
@pytest.mark.parametrize("horizon", [1, 2, 7, 1000])
def test_every_kind_stays_between_floor_and_peak(kind, horizon):
    rates = [rate(step, horizon, kind=kind, warmup=0) for step in range(horizon + 2)]
    assert all(0.1 - 1e-12 <= value <= 1.0 for value in rates)
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("kind", SCHEDULES.kinds())
def test_every_kind_can_be_asked_for_in_a_profile(kind):
    profile = load_profile(flags={"training.schedule": {"kind": kind}})
    assert SCHEDULES.from_component(profile.training.schedule)(0.0) == 1.0

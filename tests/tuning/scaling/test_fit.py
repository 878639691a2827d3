"""The fit against laws that are known."""

import numpy as np
import pytest

from aurl.errors import UsageError
from aurl.tuning.scaling import Law, Point, fit_law, foretell, picture
from aurl.tuning.scaling.fit import check_points

LAW = Law(floor=1.2, size_factor=40.0, size_exponent=0.35, data_factor=400.0, data_exponent=0.3)
SIZES, AMOUNTS = np.geomspace(1e4, 3e6, 4), np.geomspace(1e5, 1e8, 4)


def points_of(law, noise=0.0, sizes=SIZES, amounts=AMOUNTS):
    rng = np.random.default_rng(0)
    return [
        Point(f"{n:.0f}", int(n), int(d), law.loss(int(n), int(d)) * float(np.exp(noise * rng.standard_normal())))
        for n in sizes
        for d in amounts
    ]


def test_loss_and_best_size_by_hand():
    """E + A/N + B/D with A = B = 1: the best size and amount are the same, √(C / 6)."""
    law = Law(2.0, 1.0, 1.0, 1.0, 1.0)
    assert law.loss(4, 2) == 2.75
    assert law.best_for(600.0) == pytest.approx((10.0, 10.0))


def test_best_size_is_the_lowest_on_a_fine_grid():
    """Against brute force over sizes at the same compute."""
    flops = 1e15
    sizes = np.geomspace(1e4, 1e9, 20_001)
    losses = [LAW.loss(size, flops / 6 / size) for size in sizes]
    parameters, tokens = LAW.best_for(flops)
    assert parameters == pytest.approx(sizes[int(np.argmin(losses))], rel=1e-3)
    assert 6 * parameters * tokens == pytest.approx(flops)


def test_a_law_without_noise_is_found_again():
    fit = fit_law(points_of(LAW), repeats=3)
    for name in ("floor", "size_factor", "size_exponent", "data_factor", "data_exponent"):
        assert getattr(fit.law, name) == pytest.approx(getattr(LAW, name), rel=1e-3)
    assert fit.spread < 1e-5
    assert fit.law.loss(1e8, 1e10) == pytest.approx(LAW.loss(1e8, 1e10), rel=1e-4)


@pytest.fixture(scope="module")
def noisy():
    return fit_law(points_of(LAW, noise=0.004), repeats=30)


def test_with_noise_it_is_near_and_says_how_near(noisy):
    assert noisy.law.size_exponent == pytest.approx(LAW.size_exponent, abs=0.05)
    assert noisy.law.data_exponent == pytest.approx(LAW.data_exponent, abs=0.02)
    assert 0.002 < noisy.spread < 0.008
    low, high = noisy.interval(lambda law: law.data_exponent)
    assert low < LAW.data_exponent < high
    assert high - low < 0.1


def test_the_same_seed_draws_the_same(noisy):
    again = fit_law(points_of(LAW, noise=0.004), repeats=2)
    assert again.law == noisy.law
    assert again.others == noisy.others[:2]
    assert fit_law(points_of(LAW, noise=0.004), repeats=1, seed=1).others[0] != noisy.others[0]


def test_forecasts_follow_from_the_law(noisy):
    points = points_of(LAW, noise=0.004)
    found = foretell(noisy, points, "valid/nats_per_token", {}, budgets=[1e16])
    largest = max(point.parameters for point in points)
    assert [forecast.parameters / largest for forecast in found.forecasts] == [2, 4, 10]
    for forecast in found.forecasts:
        assert forecast.loss == noisy.law.loss(forecast.parameters, forecast.tokens)
        assert forecast.interval[0] < forecast.loss < forecast.interval[1]
        assert forecast.loss == pytest.approx(LAW.loss(forecast.parameters, forecast.tokens), rel=0.02)
        assert forecast.beyond == pytest.approx(forecast.parameters / largest)
    (best,) = found.best
    assert (best.parameters, best.tokens) == noisy.law.best_for(1e16)
    assert best.parameters_interval[0] < best.parameters < best.parameters_interval[1]
    assert len(foretell(noisy, points, "x", {}).best) == 4
    assert picture(found).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("sizes", "amounts", "said"),
    [
        (SIZES[:1], AMOUNTS, "cannot be told from 4 runs"),
        (SIZES[:2], AMOUNTS, "2 different sizes"),
        (SIZES, AMOUNTS[:2], "2 different amounts of music"),
        ([1000, 1020, 1040, 1060], AMOUNTS, "1 different sizes"),
        ([1000, 1200, 1400, 1600], AMOUNTS, "from 1,000 to 1,600"),
    ],
)
def test_too_little_is_refused_in_words(sizes, amounts, said):
    with pytest.raises(UsageError, match=said):
        check_points(points_of(LAW, sizes=sizes, amounts=amounts))


def test_a_law_at_its_limits_is_infinite_and_no_error():
    """Exponents that are nearly 0 know no best size, and no music leaves an infinite loss."""
    law = Law(1.0, 50.0, 1e-6, 1.0, 1e-6)
    assert law.best_for(1e20) == (float("inf"), 0.0)
    assert LAW.loss(1e6, 0.0) == float("inf")
    assert LAW.loss(float("inf"), float("inf")) == LAW.floor


def test_runs_that_scatter_too_much_are_refused():
    rng = np.random.default_rng(6)
    flat = Law(1.0, 0.5, 0.05, 3.0, 0.05)
    points = [
        Point(point.name, point.parameters, point.tokens, point.loss * float(np.exp(0.05 * rng.standard_normal())))
        for point in points_of(flat, sizes=SIZES[:3], amounts=AMOUNTS[:3])
    ]
    with pytest.raises(UsageError, match=r"scatter too much|no better|by a step"):
        fit_law(points, repeats=10)


def test_where_size_does_not_help_nothing_is_foretold():
    worse = Law(1.0, 0.05, -0.2, 400.0, 0.3)
    with pytest.raises(UsageError, match="larger models are no better"):
        fit_law(points_of(worse), repeats=1)

import math

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.stats import gaussian_kde, norm

from aurl.training.overlap import overlap


@pytest.mark.parametrize("seed", range(4))
def test_area_under_both_densities_of_scipy(seed):
    rng = np.random.default_rng(seed)
    left, right = rng.normal(0, 1, 8), rng.normal(seed, 2, 40)
    grid = np.linspace(-30, 30, 60_001)
    expected = trapezoid(np.minimum(gaussian_kde(left)(grid), gaussian_kde(right)(grid)), grid)
    assert overlap(left, right) == pytest.approx(expected, abs=2e-3)


def test_two_normal_distributions_in_closed_form():
    """Equal spread, two deviations apart: 2 Φ(−1); with many values the kernels hardly widen them."""
    quantiles = norm.ppf((np.arange(4000) + 0.5) / 4000)
    assert overlap(quantiles, quantiles + 2) == pytest.approx(2 * norm.cdf(-1), abs=0.02)


def test_the_same_and_the_strange():
    values = np.array([1.0, 2.0, 4.0])
    assert overlap(values, values) == pytest.approx(1, abs=1e-3)
    assert overlap(values, values + 100) == pytest.approx(0, abs=1e-6)
    assert overlap(values, values + 0.3) == pytest.approx(overlap(values + 0.3, values))


def test_values_that_are_all_alike():
    same = np.full(5, 3.0)
    assert overlap(same, same) == pytest.approx(1, abs=1e-2)
    assert overlap(same, same + 1) < 0.1
    assert overlap(np.zeros(3), np.zeros(1)) == pytest.approx(1, abs=1e-2)


def test_nothing_shares_nothing():
    assert math.isnan(overlap(np.array([]), np.ones(3)))
    assert math.isnan(overlap(np.ones(3), np.array([])))

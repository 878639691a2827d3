import numpy as np
import pytest

from aurl.latent.metrics.binned import binned
from aurl.latent.metrics.gaps import (
    attribute_gap,
    balanced_accuracies,
    gap,
    label_gap,
    mutual_information_gap,
    shares_of_entropy,
    squared_correlations,
)

GROUP = np.repeat(np.arange(50), 20)


@pytest.fixture
def factors():
    return np.random.default_rng(0).standard_normal((1000, 3))


def rotated(factors):
    half = np.sqrt(0.5)
    turned = factors.copy()
    turned[:, 0], turned[:, 1] = half * (factors[:, 0] - factors[:, 1]), half * (factors[:, 0] + factors[:, 1])
    return turned


def test_codes_that_are_the_factors_score_one(factors):
    bins = binned(factors, 5)
    for column in range(3):
        assert mutual_information_gap(binned(factors, 10), bins[:, column]) == pytest.approx(1, abs=0.03)
        assert attribute_gap(factors, factors[:, column]) == pytest.approx(1, abs=0.02)


def test_two_codes_that_share_a_factor_have_no_gap(factors):
    """Turned by half a right angle, each tells half of its variance: the gap is that of chance."""
    codes = rotated(factors)
    assert squared_correlations(codes, factors[:, 0]) == pytest.approx([0.5, 0.5, 0], abs=0.05)
    assert attribute_gap(codes, factors[:, 0]) < 0.1
    assert mutual_information_gap(binned(codes, 10), binned(factors, 5)[:, 0]) < 0.1
    assert attribute_gap(codes, factors[:, 2]) > 0.9


def test_correlations_are_those_of_numpy(factors):
    codes = np.random.default_rng(1).standard_normal((1000, 4)) + factors[:, :1]
    expected = [np.corrcoef(code, factors[:, 0])[0, 1] ** 2 for code in codes.T]
    assert squared_correlations(codes, factors[:, 0]) == pytest.approx(expected)
    assert squared_correlations(np.ones((5, 1)), np.arange(5.0)) == [0]


def test_a_single_code_is_compared_with_nothing():
    assert gap(np.array([0.4])) == 0.4
    assert gap(np.array([0.1, 0.7, 0.5])) == pytest.approx(0.2)


def test_constant_factors_are_not_told():
    assert shares_of_entropy(np.arange(6)[:, None], np.zeros(6, int)).tolist() == [0]


def test_labels_by_the_code_that_names_them():
    rng = np.random.default_rng(0)
    label = np.where(rng.random(1000) < 0.9, 0, 1)  # a rare value counts as much as a common one
    codes = np.stack([label + 0.1 * rng.standard_normal(1000), rng.standard_normal(1000)], 1)
    right = balanced_accuracies(binned(codes, 10), label, GROUP)
    assert right[0] > 0.93
    assert right[1] == pytest.approx(0.5, abs=0.1)
    assert label_gap(codes, label, GROUP, 10) == pytest.approx(right[0] - right[1])

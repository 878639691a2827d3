import numpy as np
import pytest

from aurl.latent.metrics.lasso import choose_penalty, largest_penalty, lasso, standardised


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    x = standardised(rng.standard_normal((120, 6)) @ rng.standard_normal((6, 6)))
    y = standardised(np.stack([x[:, 0] * 2 - x[:, 3], x[:, 1] + 0.5 * rng.standard_normal(120)], 1))
    return x, y


def test_weights_satisfy_the_conditions_of_the_minimum(problem):
    """Where a weight is not 0, the slope of the squares is the penalty; elsewhere it is less (Karush, Kuhn, Tucker)."""
    x, y = problem
    penalty = np.array([0.1, 0.05])
    weights = lasso(x, y, penalty)
    slope = x.T @ (y - x @ weights) / len(x)
    for column in range(2):
        for row in range(6):
            if weights[row, column]:
                assert slope[row, column] == pytest.approx(np.sign(weights[row, column]) * penalty[column], abs=5e-3)
            else:
                assert abs(slope[row, column]) <= penalty[column] + 5e-3
    assert (weights == 0).any()
    assert (weights != 0).any()


def test_no_penalty_is_least_squares(problem):
    x, y = problem
    expected = np.linalg.lstsq(x, y)[0]
    assert lasso(x, y, np.zeros(2)) == pytest.approx(expected, abs=0.05)
    assert lasso(x, y, np.zeros(2), expected) == pytest.approx(expected, abs=1e-3)


def test_the_largest_penalty_leaves_nothing_and_a_little_less_leaves_something(problem):
    x, y = problem
    most = largest_penalty(x, y)
    assert not lasso(x, y, most).any()
    assert (lasso(x, y, 0.98 * most) != 0).any(0).all()


def test_constant_codes_are_left_alone():
    x = np.stack([np.zeros(10), np.arange(10.0)], 1)
    weights = lasso(standardised(x), standardised(x[:, 1:]), np.array([0.01]))
    assert weights[0] == 0
    assert weights[1] == pytest.approx(0.99, abs=1e-3)


def test_errors_are_those_of_groups_that_were_held_out():
    """Two groups in which a code means the opposite: what one teaches is wrong in the other."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 1))
    group = np.repeat([3, 8], 100)
    y = np.where(group[:, None] == 3, x, -x)
    penalty, errors = choose_penalty(x, y, group)
    assert errors.shape == y.shape
    assert errors.sum() >= 0.9 * ((y - y.mean()) ** 2).sum()
    same, fitted = choose_penalty(x, x.copy(), group)
    assert fitted.sum() < 0.01 * (x**2).sum()
    assert same.shape == penalty.shape == (1,)

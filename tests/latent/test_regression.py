"""A regression is what least squares say, and is judged on pieces that it has not seen."""

import numpy as np
import pytest

from aurl.latent.regression import FEWEST, FOLDS, FURTHEST, PENALTIES, Regression, _ridge

RNG = np.random.default_rng(0)
PIECE = np.repeat(np.arange(20), 10)


def test_each_penalty_gives_the_solution_of_its_equations():
    x, y = RNG.standard_normal((50, 4)) @ np.diag([3, 1, 0.1, 1]) + 2, RNG.standard_normal(50) + 5
    x0, y0 = x - x.mean(0), y - y.mean()
    for weights, penalty in zip(_ridge(x, y), PENALTIES, strict=True):
        size = penalty * np.trace(x0.T @ x0) / 4
        np.testing.assert_allclose(weights, np.linalg.solve(x0.T @ x0 + size * np.eye(4), x0.T @ y0), rtol=1e-8)


def test_what_is_linear_is_found():
    x = RNG.standard_normal((200, 5))
    values = 40 + 10 * x @ np.array([1.0, 0, -0.5, 0, 0.2])
    told = Regression.of(x, values, PIECE)
    assert told.mean == pytest.approx(values.mean())
    assert told.deviation == pytest.approx(values.std())
    fit = told.fit()
    assert fit.r2 > 0.99
    assert fit.correlation > 0.99
    near = np.abs(values - values.mean()) < FURTHEST * values.std()
    np.testing.assert_allclose((x @ fit.weights)[near], ((values - values.mean()) / values.std())[near], atol=0.25)
    assert 0.5 < told.reference() < fit.correlation


def test_noise_says_nothing_of_unseen_pieces():
    """Even where it would fit those that were seen: there are as many dimensions as half the latents."""
    told = Regression.of(RNG.standard_normal((200, 100)), RNG.standard_normal(200), PIECE)
    fit = told.fit()
    assert fit.r2 < 0.05
    assert abs(fit.correlation) < 0.3


def test_a_piece_that_is_known_by_heart_is_no_success():
    """Latents tell which piece it is, and every piece has a number of its own."""
    numbers = RNG.standard_normal(20)[PIECE]
    fit = Regression.of(np.eye(20)[PIECE], numbers, PIECE).fit()
    assert fit.r2 < 0.05


def test_unknown_values_are_left_out_and_outliers_cut_off():
    x = RNG.standard_normal((200, 3))
    values = x[:, 0].copy()
    values[:50] = np.nan
    values[60] = 1e6
    told = Regression.of(x, values, PIECE)
    assert told.x.shape == (150, 3)
    assert told.y.max() == FURTHEST


@pytest.mark.parametrize(
    ("count", "pieces", "values"),
    [(FEWEST - 1, FEWEST - 1, None), (100, FOLDS - 1, None), (100, 100, 7.0), (100, 100, np.nan)],
)
def test_nothing_is_learned_from_too_little(count, pieces, values):
    y = RNG.standard_normal(count) if values is None else np.full(count, values)
    assert Regression.of(RNG.standard_normal((count, 3)), y, np.arange(count) % pieces) is None


def test_latents_that_never_change_have_no_weight():
    told = Regression.of(np.ones((200, 3)), RNG.standard_normal(200), PIECE)
    fit = told.fit()
    assert not fit.weights.any()
    assert fit.correlation == 0.0
    assert told.reference() == 0.0

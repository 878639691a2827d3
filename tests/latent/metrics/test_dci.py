import numpy as np
import pytest

from aurl.latent.metrics.dci import completeness, disentanglement, explained, importance

GROUP = np.repeat(np.arange(20), 20)


def random_rotation(size, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]


@pytest.fixture
def factors():
    return np.random.default_rng(0).standard_normal((400, 4))


def scores(codes, factors):
    owner = np.arange(factors.shape[1])
    fit = importance(codes, factors, owner, GROUP)
    return disentanglement(fit.weights), completeness(fit.weights).mean(), explained(fit.errors, factors, owner)


def test_codes_that_are_the_factors_score_one(factors):
    d, c, i = scores(np.concatenate([factors[:, [2, 0, 1, 3]] * 5, np.zeros((400, 2))], 1), factors)
    assert d == pytest.approx(1, abs=0.02)
    assert c == pytest.approx(1, abs=0.02)
    assert i == pytest.approx(np.ones(4), abs=0.01)


def test_rotated_codes_tell_all_and_are_not_disentangled(factors):
    d, c, i = scores(factors @ random_rotation(4), factors)
    assert d < 0.5
    assert c < 0.5
    assert i == pytest.approx(np.ones(4), abs=0.01)


def test_codes_of_something_else_tell_nothing(factors):
    other = np.random.default_rng(9).standard_normal((400, 4))
    assert scores(other, factors)[2] == pytest.approx(np.zeros(4), abs=0.05)


def test_by_hand():
    weights = np.array([[3.0, 1.0], [0.0, 2.0], [0.0, 0.0]])
    bits = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / np.log(2)
    assert disentanglement(weights) == pytest.approx((4 * (1 - bits) + 2 * 1 + 0) / 6)
    thirds = -(1 / 3 * np.log(1 / 3) + 2 / 3 * np.log(2 / 3)) / np.log(3)
    assert completeness(weights) == pytest.approx([1, 1 - thirds])
    assert disentanglement(np.zeros((3, 2))) == 0
    assert completeness(np.zeros((3, 2))).tolist() == [0, 0]


def test_columns_of_a_label_count_together():
    label = np.arange(400) % 3
    columns = np.concatenate([np.eye(3)[label], np.random.default_rng(0).standard_normal((400, 1))], 1)
    codes = np.stack([label == 0, label == 1, label == 2], 1).astype(float)
    fit = importance(codes, columns, np.array([0, 0, 0, 1]), GROUP)
    assert fit.weights.shape == (3, 2)
    told = explained(fit.errors, columns, np.array([0, 0, 0, 1]))
    assert told[0] > 0.98
    assert abs(told[1]) < 0.05
    assert explained(np.zeros((5, 1)), np.ones((5, 1)), np.array([0])) == [0]  # a constant has no variance

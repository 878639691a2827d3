import numpy as np
import pytest

from aurl.latent.stats_gap import PERMUTATIONS, discrepancy, normal_gap, told_apart

GROUPS = np.repeat(np.arange(50), 4)


def normal(seed, size=3, *, mean=0.0, deviation=1.0):
    return mean + deviation * np.random.default_rng(seed).standard_normal((200, size))


def test_gap_of_normal_numbers_is_that_of_their_moments():
    numbers = normal(0, 2)
    numbers = (numbers - numbers.mean(0)) / numbers.std(0) * [1.0, 2.0] + [0.5, 0.0]
    expected = [0.5 * 0.5**2, 0.5 * (4 - 1 - np.log(4))]
    assert normal_gap(numbers) == pytest.approx(np.array(expected) - 1 / 200)


def test_gap_of_what_is_expected_is_nothing_on_average():
    found = np.concatenate([normal_gap(normal(seed)) for seed in range(100)])
    assert found.mean() < 0.5 / 200  # less than half of what chance would add
    assert (found >= 0).all()
    assert np.isfinite(normal_gap(np.ones((5, 1)))).all()


@pytest.mark.parametrize(("change", "least"), [({"mean": 2.0}, 0.9), ({"deviation": 4.0}, 0.75)])
def test_different_latents_are_told_apart(change, least):
    real, made = normal(0), normal(1, **change)
    assert told_apart(real, made, GROUPS, GROUPS) > least
    found = discrepancy(real, made, GROUPS, GROUPS, seed=0)
    assert found.squared > 0.05
    assert found.p_value == 1 / (1 + PERMUTATIONS)


def test_alike_latents_are_not():
    right = [told_apart(normal(seed), normal(seed + 100), GROUPS, GROUPS) for seed in range(10)]
    assert np.mean(right) == pytest.approx(0.5, abs=0.03)
    values = [discrepancy(normal(seed), normal(seed + 100), GROUPS, GROUPS, seed=0).p_value for seed in range(10)]
    assert 0.2 < np.mean(values) < 0.8


def test_what_belongs_together_is_held_out_together():
    """Latents that are the same within a group, of groups that have nothing in common, cannot be told apart."""
    rng = np.random.default_rng(0)
    real, made = (np.repeat(rng.standard_normal((50, 30)), 4, 0) for _ in range(2))
    assert told_apart(real, made, GROUPS, GROUPS) == pytest.approx(0.5, abs=0.15)
    assert discrepancy(real, made, GROUPS, GROUPS, seed=0).p_value > 0.02


def test_discrepancy_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    real, made = rng.standard_normal((5, 2)), rng.standard_normal((7, 2)) + 1
    every = np.concatenate([real, made])
    width = np.median([((a - b) ** 2).sum() for n, a in enumerate(every) for b in every[:n]])

    def mean(one, other, same):
        kernel = [
            np.exp(-((a - b) ** 2).sum() / width)
            for n, a in enumerate(one)
            for m, b in enumerate(other)
            if not (same and n == m)
        ]
        return np.mean(kernel)

    expected = mean(real, real, True) + mean(made, made, True) - 2 * mean(real, made, False)
    found = discrepancy(real, made, np.arange(5), np.arange(7), seed=0)
    assert found.squared == pytest.approx(expected)


def test_one_latent_of_each_is_no_test():
    assert discrepancy(np.zeros((1, 2)), np.ones((1, 2)), np.zeros(1, int), np.zeros(1, int), seed=0).squared == 0

import numpy as np
import pytest

from aurl.latent.metrics.binned import bin_count, binned, entropy, information


def joint_information(x, y):
    """By the definition, with the correction of Miller, in a loop."""
    n = len(x)

    def bits(values):
        counts = [values.count(value) for value in set(values)]
        return -sum(count / n * np.log(count / n) for count in counts) + (len(counts) - 1) / (2 * n)

    return bits(list(x)) + bits(list(y)) - bits(list(zip(x, y, strict=True)))


def test_information_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    factor = rng.integers(0, 4, 300)
    codes = np.stack([factor, (factor + rng.integers(0, 2, 300)) % 4, rng.integers(0, 6, 300)], 1)
    found = information(codes, factor)
    expected = [max(0.0, joint_information(column.tolist(), factor.tolist())) for column in codes.T]
    assert found == pytest.approx(expected)
    assert found[0] == pytest.approx(entropy(factor))
    assert found[0] > found[1] > found[2]


def test_what_has_nothing_in_common_has_no_information_on_average():
    rng = np.random.default_rng(1)
    found = [information(rng.integers(0, 8, (200, 1)), rng.integers(0, 5, 200)).item() for _ in range(50)]
    plain = 7 * 4 / (2 * 200)  # what counting alone would find
    assert np.mean(found) < plain / 4


def test_bins_are_equally_full_and_equal_numbers_share_one():
    values = np.stack([np.arange(100.0) ** 3, np.repeat([0.0, 1.0], 50)], 1)
    found = binned(values, 4)
    assert np.bincount(found[:, 0]).tolist() == [25, 25, 25, 25]
    assert len(set(found[:50, 1])) == len(set(found[50:, 1])) == 1
    assert found[0, 1] != found[-1, 1]


def test_a_constant_is_one_bin():
    assert len(np.unique(binned(np.zeros((9, 1)), 3))) == 1


@pytest.mark.parametrize(("rows", "bins"), [(1, 2), (30, 3), (343, 7), (100_000, 10)])
def test_fewer_rows_have_fewer_bins(rows, bins):
    assert bin_count(rows + 1) == bins

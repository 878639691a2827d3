import numpy as np
import pytest

from aurl.latent.project import principal_components
from aurl.latent.project_tsne import gradient, similarities, tsne


def clusters(seed=0, count=25):
    rng = np.random.default_rng(seed)
    return np.concatenate([20 * np.eye(6)[place] + rng.standard_normal((count, 6)) for place in range(3)])


def test_similarities_have_the_perplexity_and_sum_to_one():
    x = np.random.default_rng(0).standard_normal((60, 4))
    found = similarities(x, 10.0)
    assert found.sum() == pytest.approx(1)
    assert (found == found.T).all()
    assert not np.diag(found).any()
    distance = ((x[:, None] - x) ** 2).sum(-1)
    rows = np.argsort(distance, axis=1)[:, 1:6]
    near = np.take_along_axis(found, rows, 1).mean()
    assert near > 2 * found.mean()


def test_a_row_of_chances_has_the_entropy_that_was_asked_for():
    """With points on a regular polygon every row is alike, so that chances are what is asked of each."""
    angle = np.arange(40) / 40 * 2 * np.pi
    share = similarities(np.stack([np.cos(angle), np.sin(angle)], 1), 7.0) * 40
    bits = -(share * np.log(np.where(share > 0, share, 1))).sum(1)
    assert np.exp(bits) == pytest.approx(np.full(40, 7.0), rel=1e-3)


def test_gradient_is_that_of_the_divergence():
    rng = np.random.default_rng(0)
    near, y = similarities(rng.standard_normal((12, 3)), 3.0), rng.standard_normal((12, 2))

    def divergence(places):
        close = 1 / (1 + ((places[:, None] - places) ** 2).sum(-1))
        np.fill_diagonal(close, 0)
        known = near > 0
        return float((near[known] * np.log(near[known] / (close / close.sum())[known])).sum())

    found = gradient(near, y)
    for row, column in ((0, 0), (5, 1), (11, 0)):
        step = np.zeros_like(y)
        step[row, column] = 1e-6
        slope = (divergence(y + step) - divergence(y - step)) / 2e-6
        assert found[row, column] == pytest.approx(slope, rel=1e-4, abs=1e-8)


def test_clusters_stay_apart_and_each_call_gives_the_same():
    x = clusters()
    start, _ = principal_components(x)
    seen = []
    places = tsne(x, start, report=seen.append)
    centres = [places[25 * number : 25 * (number + 1)].mean(0) for number in range(3)]
    own = np.repeat(np.arange(3), 25)
    nearest = np.argmin([[np.linalg.norm(place - centre) for centre in centres] for place in places], axis=1)
    assert (nearest == own).all()
    assert seen[-1].done == seen[-1].total
    assert (tsne(x, start) == places).all()


def test_three_points_and_equal_points_have_places():
    for x in (np.eye(3), np.zeros((5, 2))):
        assert np.isfinite(tsne(x, principal_components(x)[0])).all()

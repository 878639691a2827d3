import pytest
import torch
from torch.nn.functional import cosine_similarity

from aurl.model.discriminator.course import LAGS, CourseView, likeness


def test_likeness_is_the_cosine_to_earlier_vectors():
    torch.manual_seed(0)
    vectors, real = 10 * torch.randn(2, 40, 6), torch.ones(2, 40, dtype=torch.bool)
    found = likeness(vectors, real)
    for number, lag in enumerate(LAGS):
        expected = cosine_similarity(vectors[:, lag:], vectors[:, :-lag], dim=-1)
        torch.testing.assert_close(found[:, lag:, number], expected, rtol=0, atol=1e-3)
        assert not found[:, :lag, number].any()


@pytest.mark.parametrize("size", [0.0, 1e-8, 1e-3])
def test_vectors_of_nothing_send_back_no_storm(size):
    """A segment of a few ids without a note is real, and its features are nearly zero."""
    torch.manual_seed(0)
    view = CourseView(6, d_model=8, n_layers=2)
    vectors = torch.randn(1, 12, 6)
    vectors[:, 5:7] *= size
    vectors.requires_grad_()
    score, _ = view(vectors, torch.ones(1, 12, dtype=torch.bool))
    score.sum().backward()
    assert likeness(vectors, torch.ones(1, 12, dtype=torch.bool)).isfinite().all()
    assert 0 < vectors.grad.abs().max() < 100

import pytest
import torch
from tests.support.priors import CONTEXT, perturbed, posterior
from torch.distributions import Independent, Normal, kl_divergence

from aurl.model.prior import PRIORS


def moments(prior, context):
    """Mean and deviation, as two draws tell them: they are linear in the noise."""
    zero = torch.zeros(*context.shape[:-1], prior.size, dtype=torch.float64)
    choice = zero[..., 0]
    mean = prior.sample(zero, choice, context)
    return mean, prior.sample(zero + 1, choice, context) - mean


def test_kl_and_density_are_those_of_torch():
    prior, context = perturbed({"kind": "gaussian"}, 4, CONTEXT), torch.randn(3, 2, CONTEXT).double()
    q = posterior(torch.randn(3, 2, 4).double(), torch.randn(3, 2, 4).double())
    p = Independent(Normal(*moments(prior, context)), 1)
    expected = kl_divergence(Independent(Normal(q.mean, (0.5 * q.log_variance).exp()), 1), p)
    torch.testing.assert_close(prior.kl(q, context), expected)
    torch.testing.assert_close(prior.log_prob(q.z, context), p.log_prob(q.z))


@pytest.mark.parametrize("context_size", [0, CONTEXT])
def test_begins_as_standard_normal(context_size):
    prior = PRIORS.build("gaussian", 4, context_size)
    z, context = torch.randn(5, 4), torch.randn(5, context_size) if context_size else None
    torch.testing.assert_close(prior.log_prob(z, context), Normal(0, 1).log_prob(z).sum(-1))
    assert context_size or not list(prior.parameters())


@pytest.mark.parametrize("wild", [1e6, -1e6])
def test_no_context_makes_it_infinite(wild):
    prior = perturbed({"kind": "gaussian"}, 4, CONTEXT).float()
    context = torch.full((2, CONTEXT), wild)
    q = posterior(torch.zeros(2, 4), torch.zeros(2, 4))
    assert prior.kl(q, context).isfinite().all()
    assert prior.sample(torch.randn(2, 4), torch.rand(2), context).isfinite().all()

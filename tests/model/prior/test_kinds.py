"""What every prior promises, whatever its kind."""

import math

import pytest
import torch
from tests.support.priors import CONTEXT, VARIANTS, grid, one_context, perturbed, posterior, uniform_numbers
from torch.distributions import Normal
from torch.func import jacrev

from aurl.model.latents import Posterior

POINTS = {1: 10_000, 2: 400}
KOLMOGOROV = 1.95
"""√n times the distance of two distributions' sums exceeds this once in a thousand samples (Kolmogorov–Smirnov)."""

every_kind = pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(variant.values()))
with_and_without = pytest.mark.parametrize("context_size", [0, CONTEXT])


def density(prior, points, context):
    with torch.no_grad():
        return prior.log_prob(points, None if context is None else context.expand(len(points), -1)).exp()


def draw(prior, count, context, size=1):
    noise, choice = uniform_numbers(count, size)
    with torch.no_grad():
        return prior.sample(noise, choice, None if context is None else context.expand(count, -1))


@every_kind
@with_and_without
@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("seed", [0, 1])
def test_density_integrates_to_one(variant, context_size, size, seed):
    prior = perturbed(variant, size, context_size, seed=seed)
    points, cell = grid(size, POINTS[size])
    assert density(prior, points, one_context(context_size)).sum() * cell == pytest.approx(1, abs=1e-4)


@every_kind
@with_and_without
def test_draws_of_one_dimension_are_distributed_as_the_density_says(variant, context_size):
    prior, context = perturbed(variant, 1, context_size), one_context(context_size)
    points, cell = grid(1, POINTS[1])
    cumulative = density(prior, points, context).cumsum(0) * cell
    draws = draw(prior, 20_000, context)[:, 0].sort().values
    expected = cumulative[torch.searchsorted(points[:, 0].contiguous(), draws) - 1]
    empirical = torch.arange(1, len(draws) + 1) / len(draws)
    assert (expected - empirical).abs().max() * len(draws) ** 0.5 < KOLMOGOROV


@every_kind
@with_and_without
def test_draws_of_two_dimensions_are_distributed_as_the_density_says(variant, context_size):
    prior, context = perturbed(variant, 2, context_size), one_context(context_size)
    points, cell = grid(2, POINTS[2])
    weights = density(prior, points, context) * cell
    draws = draw(prior, 20_000, context, size=2)

    def moments(z):
        return torch.stack([z[:, 0], z[:, 1], z[:, 0] ** 2, z[:, 0] * z[:, 1], z.sum(1).cos(), (2 * z[:, 1]).sin()], 1)

    error = moments(draws).std(0) / len(draws) ** 0.5
    assert ((moments(draws).mean(0) - weights @ moments(points)).abs() < 4 * error).all()


@every_kind
@with_and_without
def test_kl_converges_to_its_integral(variant, context_size):
    prior, context = perturbed(variant, 1, context_size), one_context(context_size)
    mean, log_variance = torch.tensor([[0.7]]).double(), torch.tensor([[-1.0]]).double()
    points, cell = grid(1, POINTS[1])
    log_q = Normal(mean, (0.5 * log_variance).exp()).log_prob(points)[:, 0]
    log_p = density(prior, points, context).log()
    expected = (log_q.exp() * (log_q - log_p)).where(log_q > -50, 0).sum() * cell
    many = posterior(mean.expand(40_000, 1), log_variance.expand(40_000, 1))
    with torch.no_grad():
        found = prior.kl(many, None if context is None else context.expand(40_000, -1))
    assert found.mean() == pytest.approx(float(expected), abs=4 * float(found.std()) / 200 + 1e-4)
    assert expected > 0.05


@every_kind
@with_and_without
def test_same_numbers_same_latents_in_any_batch(variant, context_size):
    prior = perturbed(variant, 5, context_size)
    noise, choice = uniform_numbers(4, 3, 5)
    context = torch.randn(4, 3, context_size).double() if context_size else None
    whole = prior.sample(noise, choice, context)
    row = prior.sample(noise[2:3], choice[2:3], None if context is None else context[2:3])
    torch.testing.assert_close(row, whole[2:3])
    assert torch.equal(whole, prior.sample(noise, choice, context))
    densities = prior.log_prob(whole, context)
    one = prior.log_prob(whole[2, 1], None if context is None else context[2, 1])
    torch.testing.assert_close(one, densities[2, 1])


@every_kind
def test_context_decides_the_distribution(variant):
    prior = perturbed(variant, 4, CONTEXT)
    z, context = torch.randn(1, 4).double(), torch.randn(2, CONTEXT).double()
    first, second = prior.log_prob(z.expand(2, -1), context).tolist()
    assert abs(first - second) > 1e-2


@every_kind
@with_and_without
def test_drawing_changes_volumes_as_the_density_says(variant, context_size):
    """log p(z) = log N(noise) − log |∂z / ∂noise|, of the component that is drawn where there are several."""
    prior, context = perturbed(variant, 6, context_size), one_context(context_size)
    noise, choice = uniform_numbers(1, 6)
    z = prior.sample(noise, choice, context)
    jacobian = jacrev(lambda noise: prior.sample(noise, choice, context)[0])(noise)[:, 0]
    expected = Normal(0, 1).log_prob(noise).sum() - torch.linalg.slogdet(jacobian).logabsdet
    found = prior.log_prob(z, context).item()
    if variant["kind"] == "mixture":
        assert found > expected.item() + math.log(1e-3)  # its component has a share of the whole
    else:
        assert found == pytest.approx(expected.item(), abs=1e-7)


@every_kind
@with_and_without
def test_every_parameter_is_learned(variant, context_size):
    prior = perturbed(variant, 6, context_size)
    q = posterior(torch.randn(8, 6).double(), torch.randn(8, 6).double())
    context = torch.randn(8, context_size).double() if context_size else None
    kl = prior.kl(Posterior(q.mean.requires_grad_(), *q[1:]), context)
    kl.sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in prior.parameters())
    assert kl.shape == (8,)

import math

import pytest
import torch
from torch.distributions import Normal

from aurl.model.latents import Posterior
from aurl.model.latents.posterior import LOG_VARIANCES, PosteriorHead

D_MODEL, SIZE = 64, 16


def head(*, batch_norm=False, initial_log_variance=-4.0):
    torch.manual_seed(0)
    return PosteriorHead(D_MODEL, SIZE, batch_norm=batch_norm, initial_log_variance=initial_log_variance)


def features(*shape, seed=1):
    return torch.randn(*shape, D_MODEL, generator=torch.Generator().manual_seed(seed))


def all_real(x):
    return torch.ones(x.shape[:2], dtype=torch.bool)


def some_real(*lengths):
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def test_log_density_is_that_of_independent_normals():
    mean, log_variance, z = torch.randn(3, 2, 5, SIZE, generator=torch.Generator().manual_seed(0)).double()
    expected = Normal(mean, (0.5 * log_variance).exp()).log_prob(z).sum(-1)
    found = Posterior(mean, log_variance, z, torch.ones(2, 5, dtype=torch.bool)).log_prob()
    torch.testing.assert_close(found, expected)


def test_draws_are_distributed_as_said():
    posterior_head = head(initial_log_variance=-2.0)
    x = features(1, 1).expand(1, 20_000, D_MODEL)
    with torch.no_grad():
        posterior = posterior_head(x, all_real(x))
    deviation = math.exp(-1.0)
    assert (posterior.z.mean(1) - posterior.mean[:, 0]).abs().max() < 5 * deviation / 20_000**0.5
    torch.testing.assert_close(posterior.z.std(1), torch.full((1, SIZE), deviation), rtol=0.03, atol=0)


def test_draws_carry_gradient_to_mean_and_variance():
    posterior_head, x = head(), features(2, 3)
    posterior_head(x, all_real(x)).z.sum().backward()
    expected = x.sum((0, 1)).expand(SIZE, -1)  # dz / dmean = 1
    torch.testing.assert_close(posterior_head.mean.weight.grad, expected)
    assert posterior_head.log_variance.weight.grad.any()


@pytest.mark.parametrize("initial", [-4.0, 0.0])
def test_posteriors_begin_alike_narrow_and_told_apart(initial):
    x = features(40, 20)
    with torch.no_grad():
        posterior = head(initial_log_variance=initial)(x, all_real(x))
    assert (posterior.log_variance == initial).all()
    assert posterior.mean.var((0, 1)).mean() == pytest.approx(1, abs=0.15)


def test_variances_are_bounded():
    posterior_head, x = head(), features(1, 50)
    torch.nn.init.normal_(posterior_head.log_variance.weight, std=100)
    with torch.no_grad():
        posterior = posterior_head(x, all_real(x))
    assert (posterior.log_variance.min(), posterior.log_variance.max()) == LOG_VARIANCES
    assert posterior.z.isfinite().all()


def test_half_precision_stays_outside():
    posterior_head, x = head(), features(2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        posterior = posterior_head(x.bfloat16(), all_real(x))
    assert all(part.dtype == torch.float32 for part in posterior[:3])
    torch.testing.assert_close(posterior.mean, posterior_head(x.bfloat16().float(), all_real(x)).mean)


def test_batch_norm_measures_real_latents_only():
    posterior_head, real = head(batch_norm=True), some_real(7, 3, 5)
    x = features(3, 7) + 2
    means = [posterior_head(torch.where(real[..., None], x, noise), real).mean for noise in (0.0, 1e3)]
    found = means[0][real]
    torch.testing.assert_close(found.mean(0), torch.zeros(SIZE), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.var(0, correction=0), torch.ones(SIZE), rtol=0, atol=1e-3)
    assert torch.equal(means[1][real], found)


def test_batch_norm_goes_by_what_it_has_seen_when_it_learns_no_more():
    posterior_head, x = head(batch_norm=True), features(4, 6) + 2
    raw = posterior_head.mean(x).flatten(0, 1)
    posterior_head(x, all_real(x))
    seen_mean, seen_variance = 0.1 * raw.mean(0), 0.9 + 0.1 * raw.var(0)
    posterior_head.eval()
    for _ in range(2):  # nor does it remember what it sees then
        found = posterior_head(x[:1], all_real(x[:1])).mean
        expected = (posterior_head.mean(x[:1]) - seen_mean) / (seen_variance + 1e-5).sqrt()
        torch.testing.assert_close(found, expected)


def test_batch_norm_of_a_single_latent_is_that_of_earlier_ones():
    posterior_head, x = head(batch_norm=True), features(1, 1)
    found = posterior_head(x, all_real(x)).mean
    torch.testing.assert_close(found, posterior_head.mean(x), rtol=1e-4, atol=0)  # nothing seen yet: mean 0, variance 1
    assert not posterior_head.norm.running_mean.any()

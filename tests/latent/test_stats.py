from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.support.latent_runs import load_audible, write_latent_run

from aurl.data.dataset import TokenDataset
from aurl.latent.stats import apart, latent_stats
from aurl.latent.stats_pass import look_at
from aurl.model.latents.usage import ActiveUnits


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load_audible(write_latent_run(tmp_path_factory.mktemp("stats")))


@pytest.fixture(scope="module")
def stats(loaded):
    return latent_stats(loaded, limit=12)


@pytest.fixture(scope="module")
def rows(loaded):
    return TokenDataset(loaded.run.parent / "dataset", "valid", seq_len=64).__getitems__(list(range(6)))


def test_divergence_of_dimensions_is_that_of_the_prior_in_parts(loaded, rows):
    found = look_at(loaded.model, [rows], seed=3, total=1)
    ids, start_steps = torch.from_numpy(rows.ids), torch.from_numpy(rows.start_steps)
    with torch.inference_mode():
        posteriors = loaded.model.encode(ids[:, 1:], start_steps)
        for name, posterior in posteriors.items():  # the draws that the pass has made
            z = torch.zeros_like(posterior.mean)
            z[posterior.real] = torch.from_numpy(np.concatenate(found.levels[name].drawn)).float()
            posteriors[name] = posterior._replace(z=torch.where(posterior.real[..., None], z, posterior.mean))
        expected = loaded.model.prior.kl(posteriors)
    for name, kl in expected.items():
        own = np.concatenate(found.levels[name].kl).sum(-1)
        assert own == pytest.approx(kl[posteriors[name].real].numpy(), rel=1e-4, abs=1e-4)
        assert own.shape == (len(np.concatenate(found.levels[name].window)),)


def test_whitened_draws_of_the_prior_itself_are_standard_normal(loaded):
    """What the prior makes is what it expects."""
    prior = loaded.model.prior
    generator = torch.Generator().manual_seed(0)
    noise = {level.name: torch.randn(64, level.count(64), level.size, generator=generator) for level in prior.levels}
    choice = {name: torch.rand(numbers.shape[:-1], generator=generator) for name, numbers in noise.items()}
    with torch.inference_mode():
        made = prior.sample(noise, choice)
        for name, moments in prior.moments(made).items():
            mean, log_variance = moments
            assert (made[name] - mean) * torch.exp(-0.5 * log_variance) == pytest.approx(noise[name], abs=1e-3)


def test_numbers_belong_together(loaded, stats):
    assert [level.name for level in stats.levels] == ["global", "local", "fine"]
    assert stats.windows == 12
    assert stats.bound == pytest.approx(stats.nats + sum(level.kl_per_token for level in stats.levels))
    for level in stats.levels:
        assert len(level.variance) == len(level.kl_of_dimensions) == len(level.gap_of_dimensions) == level.size
        assert level.kl * level.latents == pytest.approx(level.kl_per_token * stats.tokens)
        assert 0 <= level.told_apart <= 1
        assert level.active == sum(value > 0.01 for value in level.variance)
        assert level.gap == pytest.approx(sum(level.gap_of_dimensions))
    assert stats.prior_nats != pytest.approx(stats.nats, abs=1e-3)


def test_active_units_are_those_that_training_counts(loaded, rows):
    found = look_at(loaded.model, [rows], seed=0, total=1)
    with torch.inference_mode():
        posteriors = loaded.model.encode(torch.from_numpy(rows.ids[:, 1:]), torch.from_numpy(rows.start_steps))
    for name, posterior in posteriors.items():
        units = ActiveUnits(16)
        units.add(posterior)
        assert np.concatenate(found.levels[name].mean).var(0) == pytest.approx(units.variance.numpy(), abs=1e-5)


def test_same_seed_same_numbers_and_progress_is_told(loaded, stats):
    told = []
    assert latent_stats(loaded, limit=12, report=told.append) == stats
    assert {progress.task for progress in told} == {"likelihood", "prior"}
    assert latent_stats(loaded, limit=12, seed=1).nats != stats.nats


@pytest.mark.parametrize("count", [2, 3, 7, 16, 33])
def test_neighbours_in_a_batch_are_far_apart(count):
    groups = apart(count, 4)
    assert sorted(number for group in groups for number in group) == list(range(count))
    assert all(len(group) >= 2 for group in groups)
    if len(groups) > 1:
        assert min(after - before for group in groups for before, after in pairwise(group)) > 1


@pytest.mark.parametrize("kind", ["mixture", "flow"])
def test_priors_that_are_no_normal_distribution_have_no_divergence_of_dimensions(tmp_path, kind):
    overrides = [f'latent.prior={{kind="{kind}"}}', "latent.fine_size=0"]
    found = latent_stats(load_audible(write_latent_run(tmp_path, overrides=overrides)), limit=4)
    top, local = found.levels
    assert top.kl_of_dimensions is top.gap_of_dimensions is top.gap is None
    assert len(local.kl_of_dimensions) == 16

import math

import pytest
import torch

from aurl.model.latents.posterior import Posterior
from aurl.model.latents.usage import ActiveUnits, rolled


def posterior(mean: torch.Tensor, real: torch.Tensor | None = None) -> Posterior:
    real = torch.ones(mean.shape[:2], dtype=torch.bool) if real is None else real
    return Posterior(mean, torch.zeros_like(mean), mean, real)


def test_active_are_dimensions_whose_mean_varies_more_than_a_hundredth():
    units = ActiveUnits(4)
    # Variances 0, 0.0081, 0.0121 and 1 around means that must not count.
    units.add(posterior(torch.tensor([[[5.0, 0.09, -3.11, 0.0]], [[5.0, -0.09, -2.89, 2.0]]])))
    torch.testing.assert_close(units.variance.float(), torch.tensor([0, 0.0081, 0.0121, 1.0]), atol=1e-5, rtol=0)
    assert units.share == 0.5


def test_batches_and_processes_add_up():
    means = torch.randn(6, 5, 3, generator=torch.Generator().manual_seed(0)) + 100
    here, there = ActiveUnits(3), ActiveUnits(3)
    here.add(posterior(means[:2]))
    here.add(posterior(means[2:3]))
    there.add(posterior(means[3:]))
    here.sums += there.sums
    torch.testing.assert_close(here.variance, means.double().flatten(0, 1).var(0, correction=0), atol=1e-8, rtol=0)


def test_what_is_padding_does_not_count():
    units = ActiveUnits(1)
    mean = torch.tensor([[[1.0], [1000.0]], [[3.0], [-1000.0]]])
    units.add(posterior(mean, torch.tensor([[True, False], [True, False]])))
    assert units.variance.item() == 1


def test_nothing_seen_is_not_a_number():
    assert math.isnan(ActiveUnits(2).share)


@pytest.mark.parametrize(("names", "moved"), [(None, {"global", "fine"}), ({"fine"}, {"fine"}), ((), set())])
def test_rolled_gives_each_row_the_latents_of_the_one_before(names, moved):
    latents = {"global": torch.arange(3.0)[:, None, None], "fine": torch.arange(12.0).reshape(3, 4, 1)}
    found = rolled(latents, names)
    assert found.keys() == latents.keys()
    for name, z in latents.items():
        expected = z[[2, 0, 1]] if name in moved else z
        assert torch.equal(found[name], expected)

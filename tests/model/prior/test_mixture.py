import pytest
import torch
from tests.support.priors import CONTEXT, one_context, perturbed, uniform_numbers
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from aurl.model.prior import PRIORS
from aurl.model.prior.mixture import MEAN_NORM


def parts(prior, context=None):
    """Means, deviations (K, size) and weights (K,), found by drawing: a fine net of choices, with noise 0 and 1."""
    choice = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    contexts = None if context is None else context.expand(len(choice), -1)
    zero = torch.zeros(len(choice), prior.size, dtype=torch.float64)
    means = prior.sample(zero, choice, contexts)
    deviations = prior.sample(zero + 1, choice, contexts) - means
    _, counts = torch.unique_consecutive(means, dim=0, return_counts=True)
    last = counts.cumsum(0) - 1
    return means[last], deviations[last], counts / counts.sum()


@pytest.mark.parametrize("context_size", [0, CONTEXT])
def test_density_is_that_of_torch(context_size):
    prior, context = perturbed({"kind": "mixture"}, 3, context_size), one_context(context_size)
    with torch.no_grad():
        means, deviations, weights = parts(prior, context)
        z = 2 * torch.randn(50, 3).double()
        found = prior.log_prob(z, None if context is None else context.expand(50, -1))
    assert len(means) == 8
    reference = MixtureSameFamily(Categorical(weights), Independent(Normal(means, deviations), 1))
    torch.testing.assert_close(found, reference.log_prob(z), atol=1e-3, rtol=0)


def test_choice_picks_the_component_and_noise_the_place():
    prior = perturbed({"kind": "mixture"}, 3, 0)
    means, deviations, weights = parts(prior)
    noise, _ = uniform_numbers(8, 3)
    middles = weights.cumsum(0) - weights / 2
    torch.testing.assert_close(prior.sample(noise, middles.double()), means + deviations * noise)
    ends = prior.sample(torch.zeros(2, 3).double(), torch.tensor([0.0, 1 - 1e-16]).double())
    torch.testing.assert_close(ends, means[[0, -1]])


@pytest.mark.parametrize(("size", "components"), [(16, 8), (16, 16), (128, 20), (8, 32), (2, 8)])
def test_components_begin_apart_and_none_is_nearest_to_all(size, components):
    torch.manual_seed(0)
    means = parts(PRIORS.build("mixture", size, 0, components=components).double())[0]
    distances = torch.cdist(means, means) + torch.eye(components) * 9
    assert distances.min() > 0.1
    if components <= size:
        torch.testing.assert_close(means @ means.T, MEAN_NORM**2 * torch.eye(components).double(), atol=1e-5, rtol=0)


def test_all_components_are_in_use_after_learning():
    """Eight clusters: each is found by a component of its own, or nearly."""
    torch.manual_seed(0)
    angle = torch.arange(8) * torch.pi / 4
    centres = 3 * torch.stack([angle.cos(), angle.sin()], 1)
    data = centres.repeat(40, 1) + 0.2 * torch.randn(320, 2)
    prior = PRIORS.build("mixture", 2, 0, components=12)
    optimizer = torch.optim.Adam(prior.parameters(), 0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (-prior.log_prob(data).mean()).backward()
        optimizer.step()
    drawn = prior.sample(torch.randn(4000, 2), torch.rand(4000))
    nearest = torch.cdist(drawn, centres).argmin(1).bincount(minlength=8) / 4000
    assert nearest.min() > 0.08
    assert nearest.max() < 0.18

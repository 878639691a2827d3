import pytest
import torch
from tests.support.priors import CONTEXT, perturb
from torch.autograd import gradcheck
from torch.distributions import MultivariateNormal, Normal
from torch.func import functional_call, jacrev

from aurl.model.prior import PRIORS
from aurl.model.prior.layers import LOG_SCALE_LIMIT, STEEPEST_INVERSE, Coupling, Planar

LAYERS = {
    "even": lambda size, context: Coupling(size, context, parity=0),
    "odd": lambda size, context: Coupling(size, context, parity=1),
    "planar": Planar,
}
every_layer = pytest.mark.parametrize("name", LAYERS)
with_and_without = pytest.mark.parametrize("context_size", [0, CONTEXT])


class Inverse(torch.nn.Module):
    """A layer the other way round."""

    def __init__(self, layer, context):
        super().__init__()
        self.layer, self.context = layer, context

    def forward(self, y):
        return self.layer.inverse(y, self.context)


def build(name, size, context_size, *, std=1.0, dtype=torch.float64):
    torch.manual_seed(0)
    layer = LAYERS[name](size, context_size).to(dtype)
    perturb(layer, std=std)
    return layer, torch.randn(20, context_size, dtype=dtype) if context_size else None


@every_layer
@with_and_without
@pytest.mark.parametrize("size", [1, 2, 7])
def test_inverse_undoes_and_determinant_is_that_of_the_jacobian(name, context_size, size):
    layer, context = build(name, size, context_size)
    z = 3 * torch.randn(20, size).double()
    u, log_determinant = layer(z, context)
    torch.testing.assert_close(layer.inverse(u, context), z)
    for row in range(0, 20, 5):
        own = None if context is None else context[row]
        jacobian = jacrev(lambda z, own=own: layer(z, own)[0])(z[row])
        sign, expected = torch.linalg.slogdet(jacobian)
        torch.testing.assert_close(log_determinant[row], expected)
        assert sign > 0


@every_layer
@with_and_without
def test_inverse_has_the_gradient_of_an_inverse(name, context_size):
    """As finite differences say, of latents and weights."""
    layer, context = build(name, 3, context_size)
    y = torch.randn(20, 3, dtype=torch.float64, requires_grad=True)
    names, weights = zip(*Inverse(layer, context).named_parameters(), strict=True)

    def inverse(y, *weights):
        return functional_call(Inverse(layer, context), dict(zip(names, weights, strict=True)), (y,))

    assert gradcheck(inverse, (y, *weights), fast_mode=True)


@every_layer
@with_and_without
def test_wild_weights_stay_invertible_in_single_precision(name, context_size):
    layer, context = build(name, 6, context_size, std=5.0, dtype=torch.float32)
    z = torch.randn(20, 6)
    u, log_determinant = layer(z, context)
    assert log_determinant.isfinite().all()
    assert log_determinant.min() >= -max(torch.tensor(STEEPEST_INVERSE).log(), 3 * LOG_SCALE_LIMIT) - 1e-3
    again = layer.inverse(u, context)
    worst = STEEPEST_INVERSE if name == "planar" else torch.tensor(LOG_SCALE_LIMIT).exp()
    limit = 1e-5 * worst * u.abs().max()
    assert (again - z).abs().max() < limit


@pytest.mark.parametrize("parity", [0, 1])
def test_coupling_keeps_every_second_dimension(parity):
    layer, _ = build(("even", "odd")[parity], 5, 0)
    z = torch.randn(20, 5).double()
    u, _ = layer(z, None)
    assert torch.equal(u[:, parity::2], z[:, parity::2])
    assert (u != z)[:, 1 - parity :: 2].all()


@pytest.mark.parametrize("layer", ["coupling", "planar"])
@with_and_without
def test_begins_as_standard_normal(layer, context_size):
    prior = PRIORS.build("flow", 4, context_size, layer=layer)
    z, context = torch.randn(5, 4), torch.randn(5, context_size) if context_size else None
    torch.testing.assert_close(prior.log_prob(z, context), Normal(0, 1).log_prob(z).sum(-1))


def two_moons(count, seed):
    generator = torch.Generator().manual_seed(seed)
    angle = torch.rand(count, generator=generator) * torch.pi
    upper = torch.stack([angle.cos(), angle.sin()], 1)
    lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], 1)
    pick = torch.rand(count, 1, generator=generator) < 0.5
    return 2 * torch.where(pick, upper, lower) - 1 + 0.1 * torch.randn(count, 2, generator=generator)


@pytest.mark.parametrize(
    ("variant", "lr", "gain"),
    [
        ({"kind": "mixture", "components": 12}, 0.02, 0.7),
        ({"kind": "flow", "layer": "coupling", "depth": 6}, 0.005, 1.0),
        ({"kind": "flow", "layer": "planar", "depth": 8}, 0.02, 0.7),
    ],
    ids=["mixture", "coupling", "planar"],
)
def test_learns_two_moons_better_than_any_normal(variant, lr, gain):
    torch.manual_seed(0)
    data, unseen = two_moons(1000, 0), two_moons(1000, 1)
    prior = PRIORS.from_component(variant, 2, 0)
    optimizer = torch.optim.Adam(prior.parameters(), lr)
    for _ in range(200):
        optimizer.zero_grad()
        (-prior.log_prob(data).mean()).backward()
        optimizer.step()
    normal = MultivariateNormal(data.mean(0), data.T.cov()).log_prob(unseen).mean()
    with torch.no_grad():
        assert prior.log_prob(unseen).mean() > normal + gain
        drawn = prior.sample(torch.randn(1000, 2), torch.rand(1000))
    # Draws lie on the moons: their distance to data is about that of unseen data.
    assert torch.cdist(drawn, data).min(1).values.median() < 3 * torch.cdist(unseen, data).min(1).values.median()

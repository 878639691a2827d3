import pytest
import torch
from torch import nn

from aurl.training.lion import Lion
from aurl.training.optim import OPTIMIZERS, set_learning_rate

BETAS = (0.8, 0.95)


def sign(x: float) -> float:
    return (x > 0) - (x < 0)


def by_hand(start: float, gradients: list[float], rates: list[float], decay: float) -> list[float]:
    """Algorithm 2 of the paper for one number."""
    weight, momentum, found = start, 0.0, []
    for gradient, rate in zip(gradients, rates, strict=True):
        step = sign(BETAS[0] * momentum + (1 - BETAS[0]) * gradient)
        weight = weight - rate * (step + decay * weight)
        momentum = BETAS[1] * momentum + (1 - BETAS[1]) * gradient
        found.append(weight)
    return found


def test_each_step_is_that_of_the_paper():
    """Two matrices that decay and a gain that does not, rates that fall, and gradients that change their sign."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 2, bias=False), nn.LayerNorm(2, bias=False), nn.Linear(2, 2, bias=False))
    optimizer = OPTIMIZERS.build("lion", network, 1e-2, 0.3, betas=BETAS)
    assert isinstance(optimizer, Lion)
    rates = [1e-2 * 0.8**step for step in range(12)]
    gradients = {one: torch.randn(len(rates), *one.shape, dtype=torch.float64) for one in network.parameters()}
    for drawn in gradients.values():
        drawn[4] = 0.0
    expected = {
        one: torch.tensor(
            [
                by_hand(value, drawn.tolist(), rates, 0.3 if one.ndim == 2 else 0.0)
                for value, drawn in zip(
                    one.detach().double().flatten().tolist(), gradients[one].flatten(1).T, strict=True
                )
            ]
        )
        for one in network.parameters()
    }
    for step, rate in enumerate(rates):
        set_learning_rate(optimizer, rate)
        for one, drawn in gradients.items():
            one.grad = drawn[step].float()
        optimizer.step()
        for one, found in expected.items():
            torch.testing.assert_close(one.detach().flatten(), found[:, step].float(), rtol=0, atol=1e-6)


def test_what_has_no_gradient_stays():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    optimizer = OPTIMIZERS.build("lion", network, 1e-2, 0.3)
    before = network[1].weight.detach().clone()
    network[0](torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert torch.equal(network[1].weight, before)
    assert network[1].weight not in optimizer.state
    with pytest.raises(ValueError, match="closure"):
        optimizer.step(lambda: 0.0)

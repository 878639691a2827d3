import pytest
import torch
from torch import nn

from aurl.errors import DamagedError
from aurl.training.optim import build_optimizer, load_optimizer_tensors, optimizer_tensors, set_learning_rate


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def train(network, optimizer, steps: int) -> None:
    for step in range(steps):
        inputs = torch.full((2, 3), float(step + 1)).sin()
        network(inputs).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def build(network):
    return build_optimizer(network, lr=1e-2, betas=(0.9, 0.95), weight_decay=0.5)


def test_only_matrices_decay():
    network = model()
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    optimizer = build(network)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in network.named_parameters():
        expected = before[name] * (1 - 1e-2 * 0.5) if parameter.ndim == 2 else before[name]
        torch.testing.assert_close(parameter.detach(), expected)


def test_state_comes_back_bit_by_bit():
    whole, first = model(), model()
    whole_optimizer, first_optimizer = build(whole), build(first)
    train(whole, whole_optimizer, 3)
    train(first, first_optimizer, 3)
    second = model()
    second.load_state_dict(first.state_dict())
    second_optimizer = build(second)
    load_optimizer_tensors(second_optimizer, second, optimizer_tensors(first_optimizer, first))
    train(whole, whole_optimizer, 3)
    train(second, second_optimizer, 3)
    for expected, found in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(expected, found)


def test_state_of_another_model_is_refused():
    network = model()
    optimizer = build(network)
    with pytest.raises(DamagedError, match=r"0\.weight"):
        load_optimizer_tensors(optimizer, network, {"exp_avg:0.weight": torch.zeros(9, 9)})
    with pytest.raises(DamagedError, match="nowhere"):
        load_optimizer_tensors(optimizer, network, {"exp_avg:nowhere": torch.zeros(4, 3)})


def test_rate_is_given_to_every_group():
    optimizer = build(model())
    set_learning_rate(optimizer, 0.125)
    assert {group["lr"] for group in optimizer.param_groups} == {0.125}

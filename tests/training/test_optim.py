from collections import OrderedDict
from typing import cast

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from aurl.errors import DamagedError
from aurl.model.build import build_model
from aurl.profile import load_profile
from aurl.tokens.codec import Codec
from aurl.training.optim import OPTIMIZERS, load_optimizer_tensors, optimizer_tensors, set_learning_rate

KINDS = OPTIMIZERS.kinds()


def model() -> nn.Module:
    """Linear, norm, linear, called as in a decoder."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    return nn.Sequential(OrderedDict(decoder=layers))


class Named(nn.Module):
    """A table, a hidden matrix, a gain and a prior, called as in the real model."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.embedding = nn.Embedding(5, 8)
        self.decoder = nn.ModuleList([nn.Linear(8, 6, bias=False)])
        self.norm = nn.LayerNorm(6)
        self.prior = nn.Linear(6, 4)

    @property
    def hidden(self) -> nn.Linear:
        return cast("nn.Linear", self.decoder[0])


def train(network, optimizer, steps: int) -> None:
    for step in range(steps):
        inputs = torch.full((2, 3), float(step + 1)).sin()
        network(inputs).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def build(network, kind="adamw"):
    return OPTIMIZERS.build(kind, network, 1e-2, 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_only_matrices_decay(kind):
    network = model()
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    optimizer = build(network, kind)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in network.named_parameters():
        expected = before[name] * (1 - 1e-2 * 0.5) if parameter.ndim == 2 else before[name]
        torch.testing.assert_close(parameter.detach(), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_state_comes_back_bit_by_bit(kind):
    whole, first = model(), model()
    whole_optimizer, first_optimizer = build(whole, kind), build(first, kind)
    train(whole, whole_optimizer, 3)
    train(first, first_optimizer, 3)
    second = model()
    second.load_state_dict(first.state_dict())
    second_optimizer = build(second, kind)
    load_optimizer_tensors(second_optimizer, second, optimizer_tensors(first_optimizer, first))
    train(whole, whole_optimizer, 3)
    train(second, second_optimizer, 3)
    for expected, found in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(expected, found)


def test_state_of_another_model_is_refused():
    network = model()
    optimizer = build(network)
    with pytest.raises(DamagedError, match=r"decoder\.0\.weight"):
        load_optimizer_tensors(optimizer, network, {"exp_avg:decoder.0.weight": torch.zeros(9, 9)})
    with pytest.raises(DamagedError, match="nowhere"):
        load_optimizer_tensors(optimizer, network, {"exp_avg:nowhere": torch.zeros(4, 3)})


@pytest.mark.parametrize("kind", KINDS)
def test_rate_is_given_to_every_group_and_counts(kind):
    network = model()
    optimizer = build(network, kind)
    set_learning_rate(optimizer, 0.0)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    train(network, optimizer, 2)
    assert all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))
    assert {group["lr"] for group in optimizer.param_groups} == {0.0}


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_is_trained(kind):
    network = model()
    before = [parameter.detach().clone() for parameter in network.parameters()]
    train(network, build(network, kind), 1)
    assert not any(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


def test_muon_is_for_what_lies_between_tables_and_priors():
    """The names are those of the real model, in the mode that has most of them."""
    network = build_model(load_profile(overrides=["model.mode=vae"]), Codec())
    owner = {name: name.partition(".")[0] for name, _ in network.named_parameters()}
    names = {parameter: name for name, parameter in network.named_parameters()}
    hidden, rest = OPTIMIZERS.build("muon", network, 1e-2, 0.5)._parts
    muons, others = ([names[one] for group in part.param_groups for one in group["params"]] for part in (hidden, rest))
    assert {owner[name] for name in muons} == {"decoder", "encoder", "latent_stream"}
    assert all(network.get_parameter(name).ndim == 2 for name in muons)
    assert {owner[name] for name in others} == {"embedding", "encoder", "prior", "bags", "echo"}
    assert all(network.get_parameter(name).ndim == 1 for name in others if owner[name] == "encoder")
    assert sorted([*muons, *others]) == sorted(names.values())


def test_muon_orthogonalises_hidden_matrices_and_leaves_the_rest_to_adamw():
    network, plain = Named(), Named()
    optimizer, reference = OPTIMIZERS.build("muon", network, 1e-2, 0.0), OPTIMIZERS.build("adamw", plain, 1e-2, 0.0)
    generator = torch.Generator().manual_seed(2)
    before = network.hidden.weight.detach().clone()
    for ours, theirs in zip(network.parameters(), plain.parameters(), strict=True):
        ours.grad = torch.randn(ours.shape, generator=generator)
        theirs.grad = ours.grad.clone()
    gradient = network.hidden.weight.grad.clone()
    optimizer.step()
    reference.step()
    assert torch.equal(network.embedding.weight, plain.embedding.weight)
    assert torch.equal(network.norm.weight, plain.norm.weight)
    assert torch.equal(network.prior.weight, plain.prior.weight)
    update = (before - network.hidden.weight.detach()) / (1e-2 * 0.2 * 8**0.5)
    singular = torch.linalg.svdvals(update)
    # Five Newton-Schulz steps bring every singular value near 1; the polar factor of the gradient has exactly 1.
    assert ((singular > 0.6) & (singular < 1.3)).all()
    u, _, vh = torch.linalg.svd(gradient, full_matrices=False)
    assert torch.nn.functional.cosine_similarity(update.flatten(), (u @ vh).flatten(), dim=0) > 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_rate_and_state_stay_its_own_under_accelerate(kind):
    """Accelerate gives an optimizer a copy of its state when it wraps it."""
    network, wrapped_network = model(), model()
    optimizer = build(network, kind)
    raw = build(wrapped_network, kind)
    AcceleratorState._reset_state(reset_partial_state=True)
    prepared_network, prepared = Accelerator(cpu=True).prepare(wrapped_network, raw)
    for rate in (1e-2, 1e-3):
        set_learning_rate(optimizer, rate)
        set_learning_rate(prepared, rate)
        train(network, optimizer, 2)
        train(prepared_network, prepared, 2)
    for expected, found in zip(network.parameters(), wrapped_network.parameters(), strict=True):
        assert torch.equal(expected, found)
    kept = optimizer_tensors(prepared, wrapped_network)
    assert kept.keys() == optimizer_tensors(optimizer, network).keys()
    assert len(kept) >= len(list(network.parameters()))

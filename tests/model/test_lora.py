"""Adapters against the arithmetic that they stand for."""

import pytest
import torch
from tests.support.latent_models import small_vae

from aurl.errors import UsageError
from aurl.model.build import build_model
from aurl.model.lora import AdaptedLinear, adapt, is_adapter, merged
from aurl.model.weights import load_weights, save_weights
from aurl.profile import load_profile
from aurl.tokens.codec import Codec

SMALL = {"model.d_model": 32, "model.n_layers": 2, "model.n_heads": 2, "model.dropout": 0.0}
ALL = ("qkv", "out", "up", "down")


def plain_model(seed=0):
    torch.manual_seed(seed)
    return build_model(load_profile(flags=SMALL), Codec()).eval()


def some_ids():
    return torch.randint(0, 300, (2, 24), generator=torch.Generator().manual_seed(1))


def teach(model):
    """As if it had learned."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))))


def test_a_layer_adds_the_scaled_product_of_two_small_matrices():
    plain = torch.nn.Linear(2, 3, bias=False)
    adapted = AdaptedLinear(plain, rank=1, alpha=4.0)
    with torch.no_grad():
        plain.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        adapted.lora_down.copy_(torch.tensor([[2.0, -1.0]]))
        adapted.lora_up.copy_(torch.tensor([[1.0], [0.5], [0.0]]))
    # x = (3, 4): W x = (3, 4, 7); A x = 2; B A x = (2, 1, 0); times 4 / 1
    assert adapted(torch.tensor([[3.0, 4.0]])).tolist() == [[11.0, 8.0, 7.0]]


def test_at_first_it_is_the_model_that_it_adapts():
    model, ids = plain_model(), some_ids()
    with torch.no_grad():
        before = model(ids)
        adapt(model, rank=4, alpha=8.0, targets=ALL)
        assert torch.equal(model(ids), before)


def test_only_adapters_learn_and_there_are_as_many_numbers_as_by_hand():
    model = plain_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    adapt(model, rank=4, alpha=8.0, targets=("qkv", "down"))
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    # rank × (in + out), of qkv: 32 → 96, of down: 128 → 32, in each of two layers
    assert sum(p.numel() for p in trained.values()) == 2 * 4 * (32 + 96 + 128 + 32)
    assert all(is_adapter(name) for name in trained)
    model(some_ids()).square().mean().backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == set(trained)
    teach(model)
    after = model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_merged_weights_say_the_same(tmp_path):
    model, ids = plain_model(), some_ids()
    adapt(model, rank=4, alpha=8.0, targets=ALL)
    with torch.no_grad():
        at_first = model(ids)
        teach(model)
        learned = model(ids)
        save_weights(model, tmp_path / "adapted.safetensors")
        alone = plain_model(seed=1)
        load_weights(alone, tmp_path / "adapted.safetensors")
        assert (learned - at_first).abs().max() > 0.1
        torch.testing.assert_close(alone(ids), learned, atol=1e-6, rtol=1e-5)
    assert merged(alone.state_dict()).keys() == alone.state_dict().keys()
    again = plain_model(seed=2)
    adapt(again, rank=4, alpha=8.0, targets=ALL)
    load_weights(again, tmp_path / "adapted.safetensors")
    assert torch.equal(again(ids), model(ids))


def test_encoders_are_adapted_too():
    model = small_vae(packed=False)
    adapt(model, rank=2, alpha=2.0, targets=("qkv",))
    adapted = {name.split(".")[0] for name, module in model.named_modules() if isinstance(module, AdaptedLinear)}
    assert adapted == {"decoder", "encoder"}


def test_a_layer_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="no layer 'query'"):
        adapt(plain_model(), rank=2, alpha=2.0, targets=("qkv", "query"))

import pytest
import torch
from tests.support.training import latent_profile
from torch.nn.functional import cross_entropy

from aurl.errors import UsageError
from aurl.model.build import build_model
from aurl.tokens.codec import Codec
from aurl.training.weighing import last_layer, pulls


@pytest.mark.parametrize("checkpointing", [False, True])
def test_pulls_are_the_gradients_that_a_backward_pass_gives(checkpointing):
    torch.manual_seed(0)
    model = build_model(latent_profile("vae_gan", model__dropout=0.0, model__checkpointing=checkpointing), Codec())
    ids = torch.randint(0, 200, (2, 17))
    logits = model(ids[:, :-1], following=ids[:, 1:]).logits
    costs = [cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()), logits.square().mean()]
    layer = last_layer(model)
    found = pulls(costs, layer)
    assert found.shape == (2, *layer.shape)
    assert all(parameter.grad is None for parameter in model.parameters())
    for cost, pull in zip(costs, found, strict=True):
        cost.backward(retain_graph=True)
        assert layer.grad.abs().sum() > 0
        torch.testing.assert_close(pull, layer.grad)
        layer.grad = None


def test_the_last_layer_is_the_last_matrix_that_learns():
    model = build_model(latent_profile("vae_gan"), Codec())
    assert last_layer(model) is model.decoder.blocks[-1].feed_forward.down.weight
    model.decoder.blocks[-1].requires_grad_(False)
    assert last_layer(model) is model.decoder.blocks[-2].feed_forward.down.weight
    model.decoder.requires_grad_(False)
    with pytest.raises(UsageError, match="no matrix"):
        last_layer(model)

"""How latents reach the decoder."""

import pytest
import torch
from tests.support.attention import OPTIONS

from aurl.model.attention import ATTENTION
from aurl.model.decoder import Decoder
from aurl.model.layers import normalised

D_MODEL, LAYERS, STREAM = 32, 3, 12


def build(stream_size, *, kind="full", checkpointing=False):
    torch.manual_seed(0)
    return Decoder(
        D_MODEL,
        n_layers=LAYERS,
        n_heads=2,
        d_hidden=64,
        pattern=(kind,),
        attention=OPTIONS,
        checkpointing=checkpointing,
        stream_size=stream_size,
    ).train()


def random_input():
    generator = torch.Generator().manual_seed(1)
    x, stream = torch.randn(2, 40, D_MODEL, generator=generator), torch.randn(2, 40, STREAM, generator=generator)
    return x, torch.arange(40), torch.arange(40).expand(2, -1) * 3, stream


def loud(decoder):
    for layer in decoder.hearing:
        torch.nn.init.normal_(layer.weight, std=0.3)
    return decoder


def test_without_a_stream_there_is_nothing_to_hear_with():
    assert len(build(0).hearing) == 0
    assert len(build(STREAM).hearing) == LAYERS + 1


@pytest.mark.parametrize("kind", ATTENTION.kinds())
def test_hearing_begins_silent(kind):
    *music, stream = random_input()
    plain, hearing = build(0, kind=kind), build(STREAM, kind=kind)
    assert torch.equal(hearing(*music, stream=stream), plain(*music))


def test_every_layer_and_the_output_hear_the_stream():
    decoder, (x, index, elapsed_steps, stream) = loud(build(STREAM)), random_input()
    turns = decoder.rotary(index, elapsed_steps)
    expected = x
    for layer, block in enumerate(decoder.blocks):
        expected = block(expected + stream @ decoder.hearing[layer].weight.T, turns)
    expected = normalised(expected + stream @ decoder.hearing[LAYERS].weight.T)
    torch.testing.assert_close(decoder(x, index, elapsed_steps, stream=stream), expected)


@pytest.mark.parametrize("silent", [True, False])
def test_every_hearing_learns(silent):
    *music, stream = random_input()
    decoder = build(STREAM) if silent else loud(build(STREAM))
    stream.requires_grad_()
    (decoder(*music, stream=stream) * torch.randn(2, 40, D_MODEL)).sum().backward()
    assert all(layer.weight.grad.any() for layer in decoder.hearing)
    assert stream.grad.any() != silent


@torch.no_grad()
def test_what_is_said_later_is_not_heard_before():
    decoder, (*music, stream) = loud(build(STREAM)), random_input()
    later = stream.clone()
    later[:, 25:] += 1
    before, after = decoder(*music, stream=stream), decoder(*music, stream=later)
    torch.testing.assert_close(after[:, :25], before[:, :25])
    assert not torch.isclose(after[:, 25:], before[:, 25:], atol=1e-3).all(-1).any()


def test_checkpointing_changes_no_gradient():
    *music, stream = random_input()
    gradients = []
    for checkpointing in (False, True):
        decoder, heard = loud(build(STREAM, checkpointing=checkpointing)), stream.clone().requires_grad_()
        decoder(*music, stream=heard).pow(3).sum().backward()
        gradients.append([heard.grad, *(parameter.grad for parameter in decoder.parameters())])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed)

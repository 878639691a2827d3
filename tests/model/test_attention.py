import pytest
import torch
from torch import Tensor

from aurl.model.attention import ATTENTION
from aurl.model.attention.blocks import block_attention
from aurl.model.attention.sliding_window import banded

OPTIONS = {"sliding_window": {"window": 16}}
REACH = {"full": 10**9, "sliding_window": 16}
"""How many positions a query of each kind sees, itself included: what the brute-force reference masks with."""


def build(kind):
    return ATTENTION.build(kind, 32, 2, **OPTIONS.get(kind, {}))


def random_qkv(length, *, batch=2):
    generator = torch.Generator().manual_seed(length)
    return torch.randn(3, batch, 2, length, 16, generator=generator, dtype=torch.float64)


def brute_force(q: Tensor, k: Tensor, v: Tensor, reach: int) -> Tensor:
    scores = (q @ k.mT) / q.shape[-1] ** 0.5
    row, column = torch.meshgrid(torch.arange(q.shape[2]), torch.arange(k.shape[2]), indexing="ij")
    scores = scores.masked_fill((column > row) | (column <= row - reach), float("-inf"))
    return scores.softmax(-1) @ v


def test_every_kind_has_a_reference():
    assert set(REACH) == set(ATTENTION.kinds())


@pytest.mark.parametrize("length", [1, 15, 16, 17, 32, 33, 100])
@pytest.mark.parametrize("kind", ATTENTION.kinds())
def test_equals_brute_force_forward_and_backward(kind, length):
    ours, reference = random_qkv(length).requires_grad_(), random_qkv(length).requires_grad_()
    weights = torch.randn(2, 2, length, 16, dtype=torch.float64)
    mixed, expected = build(kind)(*ours), brute_force(*reference, REACH[kind])
    (mixed * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.grad, reference.grad, rtol=0, atol=1e-5)


@pytest.mark.parametrize("pieces", [[1] * 60, [40] + [1] * 20, [5, 1, 20, 1, 1, 32], [60], [16, 16, 16, 12]])
@pytest.mark.parametrize("kind", ATTENTION.kinds())
def test_cached_equals_whole(kind, pieces):
    q, k, v = random_qkv(60)
    attention = build(kind)
    cache = attention.new_cache(q, (2, 2, 16), 60)
    parts = zip(*(x.split(pieces, dim=2) for x in (q, k, v)), strict=True)
    mixed = torch.cat([cache.attend(*part) for part in parts], dim=2)
    torch.testing.assert_close(mixed, attention(q, k, v), rtol=0, atol=1e-5)


def step(cache, q, k, v):
    return cache.step(q / q.shape[-1] ** 0.5, k, v)


@pytest.mark.parametrize("prompt", [0, 1, 16, 37])
@pytest.mark.parametrize("kind", ATTENTION.kinds())
def test_single_steps_equal_whole(kind, prompt):
    q, k, v = random_qkv(60)
    attention = build(kind)
    cache = attention.new_cache(q, (2, 2, 16), 60)
    mixed = [cache.attend(*(x[:, :, :prompt] for x in (q, k, v)))] if prompt else []
    mixed += [step(cache, *(x[:, :, t] for x in (q, k, v)))[:, :, None] for t in range(prompt, 60)]
    torch.testing.assert_close(torch.cat(mixed, dim=2), attention(q, k, v), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ATTENTION.kinds())
def test_selected_rows_go_on_as_before(kind):
    q, k, v = random_qkv(40, batch=3)
    attention = build(kind)
    cache = attention.new_cache(q, (3, 2, 16), 40)
    cache.attend(q[:, :, :30], k[:, :, :30], v[:, :, :30])
    rows = torch.tensor([2, 0])
    cache.select(rows)
    mixed = [step(cache, *(x[rows, :, t] for x in (q, k, v))) for t in range(30, 40)]
    torch.testing.assert_close(torch.stack(mixed, 2), attention(q, k, v)[rows, :, 30:], rtol=0, atol=1e-5)


def test_sliding_window_remembers_no_more_than_its_window():
    cache = build("sliding_window").new_cache(torch.empty(0), (1, 2, 16), 10_000)
    for qkv in torch.randn(40, 3, 1, 2, 16):
        cache.step(*qkv)
    assert cache._slots.values.shape[2] == 16


@pytest.mark.parametrize("length", [9, 16, 17, 64, 70])
def test_accelerator_form_of_sliding_window_equals_brute_force(length):
    ours, reference = random_qkv(length).requires_grad_(), random_qkv(length).requires_grad_()
    mixed, expected = banded(*ours, window=16), brute_force(*reference, 16)
    mixed.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.grad, reference.grad, rtol=0, atol=1e-5)


@pytest.mark.parametrize("window", [None, 1, 63, 64, 65, 200, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_blocks_of_every_shape_equal_brute_force(window, dtype):
    length, tolerance = 333, 1e-5 if dtype is torch.float32 else 0.05
    q, k, v = random_qkv(length).to(dtype)
    expected = brute_force(*(x.double() for x in (q, k, v)), window or length)
    torch.testing.assert_close(block_attention(q, k, v, window=window).double(), expected, rtol=0, atol=tolerance)


def test_blocks_of_heads_do_not_mix(monkeypatch):
    monkeypatch.setattr("aurl.model.attention.blocks.SCORE_BYTES", 1)
    q, k, v = random_qkv(100)
    torch.testing.assert_close(block_attention(q, k, v), brute_force(q, k, v, 100), rtol=0, atol=1e-5)

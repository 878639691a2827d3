import pytest
import torch
from torch import Tensor

from aurl.model.attention import ATTENTION
from aurl.model.attention.blocks import Reach, block_attention
from aurl.model.attention.sliding_window import banded

OPTIONS = {"sliding_window": {"window": 16}}
FAR = 10**9
REACH = {("full", True): (FAR, 0), ("full", False): (FAR, FAR)}
REACH |= {("sliding_window", True): (15, 0), ("sliding_window", False): (16, 16)}
"""How many positions before and after its own a query of each kind sees: what the brute-force reference masks with."""


def build(kind, causal=True):
    return ATTENTION.build(kind, 32, 2, causal, **OPTIONS.get(kind, {}))


def random_qkv(length, *, batch=2):
    generator = torch.Generator().manual_seed(length)
    return torch.randn(3, batch, 2, length, 16, generator=generator, dtype=torch.float64)


def brute_force(q: Tensor, k: Tensor, v: Tensor, behind: int, ahead: int, real: Tensor | None = None) -> Tensor:
    scores = (q @ k.mT) / q.shape[-1] ** 0.5
    row, column = torch.meshgrid(torch.arange(q.shape[2]), torch.arange(k.shape[2]), indexing="ij")
    scores = scores.masked_fill((column > row + ahead) | (column < row - behind), float("-inf"))
    if real is not None:  # what padding itself gets is not looked at, so it may see itself
        scores = scores.masked_fill(~(real[:, None, None] | (row == column)), float("-inf"))
    return scores.softmax(-1) @ v


def test_every_kind_has_a_reference():
    assert set(REACH) == {(kind, causal) for kind in ATTENTION.kinds() for causal in (True, False)}


@pytest.mark.parametrize("length", [1, 15, 16, 17, 32, 33, 100])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kind", ATTENTION.kinds())
def test_equals_brute_force_forward_and_backward(kind, causal, length):
    ours, reference = random_qkv(length).requires_grad_(), random_qkv(length).requires_grad_()
    weights = torch.randn(2, 2, length, 16, dtype=torch.float64)
    mixed, expected = build(kind, causal)(*ours), brute_force(*reference, *REACH[kind, causal])
    (mixed * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.grad, reference.grad, rtol=0, atol=1e-5)


@pytest.mark.parametrize("real_tokens", [[1, 50], [63, 100], [17, 130]])
@pytest.mark.parametrize("kind", ATTENTION.kinds())
def test_padding_is_seen_by_nobody(kind, real_tokens):
    real = torch.arange(130) < torch.tensor(real_tokens)[:, None]
    ours, reference = random_qkv(130).requires_grad_(), random_qkv(130).requires_grad_()
    mixed, expected = build(kind, False)(*ours, real), brute_force(*reference, *REACH[kind, False], real)
    assert mixed.isfinite().all()
    mixed, expected = (x.transpose(1, 2)[real] for x in (mixed, expected))
    mixed.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.grad, reference.grad, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ATTENTION.kinds())
def test_more_padding_changes_nothing(kind):
    qkv, attention = random_qkv(200), build(kind, False)
    short, long = (attention(*qkv[..., :length, :], torch.arange(length).expand(2, -1) < 40) for length in (50, 200))
    torch.testing.assert_close(short[:, :, :40], long[:, :, :40], rtol=0, atol=1e-12)
    torch.testing.assert_close(short[:, :, :40], attention(*qkv[..., :40, :]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("length", [1, 10, 16, 17, 33, 100])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kind", ATTENTION.kinds())
def test_mean_keys_counts_what_the_reference_sees(kind, causal, length):
    behind, ahead = REACH[kind, causal]
    seen = sum(min(p, behind) + 1 + min(length - 1 - p, ahead) for p in range(length))
    assert build(kind, causal).mean_keys(length) == pytest.approx(seen / length)


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
    mixed, expected = banded(*ours, window=16), brute_force(*reference, 15, 0)
    mixed.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.grad, reference.grad, rtol=0, atol=1e-5)


@pytest.mark.parametrize("behind", [0, 1, 62, 63, 64, 200, 1000])
@pytest.mark.parametrize("ahead", [0, 1, 63, 64, 65, 150, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_blocks_of_every_shape_equal_brute_force(behind, ahead, dtype):
    length, tolerance = 333, 1e-5 if dtype is torch.float32 else 0.05
    q, k, v = random_qkv(length).to(dtype)
    expected = brute_force(*(x.double() for x in (q, k, v)), behind, ahead)
    mixed = block_attention(q, k, v, Reach(behind, ahead)).double()
    torch.testing.assert_close(mixed, expected, rtol=0, atol=tolerance)


def test_blocks_of_heads_do_not_mix(monkeypatch):
    monkeypatch.setattr("aurl.model.attention.blocks.SCORE_BYTES", 1)
    q, k, v = random_qkv(100)
    torch.testing.assert_close(block_attention(q, k, v, Reach(100, 0)), brute_force(q, k, v, 100, 0), rtol=0, atol=1e-5)

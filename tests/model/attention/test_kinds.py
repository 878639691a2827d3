"""What every kind of the registry promises, on both forms of its arithmetic."""

import pytest
import torch
from tests.support.attention import N_HEADS, WINDOWS, build, expected_of, in_window, random_qkv
from torch import nn

from aurl.model.attention import ATTENTION
from aurl.model.attention.banded import banded

KINDS = ATTENTION.kinds()


@pytest.fixture(params=["blocks", "banded"])
def _form(request, monkeypatch):
    """Of a CPU and of an accelerator."""
    if request.param == "banded":
        monkeypatch.setattr("aurl.model.attention.near.block_attention", banded)


def test_every_kind_has_a_reference():
    assert set(WINDOWS) == set(KINDS)


def gradients(mixed, weights, qkv, attention):
    """Of the inputs, and of what the kind has learned."""
    learned = list(attention.parameters()) if isinstance(attention, nn.Module) else []
    return torch.autograd.grad(mixed, [qkv, *learned], weights, materialize_grads=True)


@pytest.mark.parametrize("kind", KINDS)
def test_can_be_described_before_it_takes_memory(kind):
    with torch.device("meta"):
        described = ATTENTION.build(kind, 256, 4, True)
    assert described.mean_keys(4096) == ATTENTION.build(kind, 256, 4, True).mean_keys(4096)


@pytest.mark.usefixtures("_form")
@pytest.mark.parametrize("length", [1, 16, 17, 60])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_brute_force_forward_and_backward(kind, causal, length):
    ours, reference = random_qkv(length).requires_grad_(), random_qkv(length).requires_grad_()
    weights = torch.randn(2, N_HEADS, length, 16, dtype=torch.float64)
    attention = build(kind, causal)
    mixed, expected = attention(*ours), expected_of(kind, attention, reference, causal=causal)
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-5)
    found, wanted = gradients(mixed, weights, ours, attention), gradients(expected, weights, reference, attention)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("_form")
@pytest.mark.parametrize("real_tokens", [[1, 40], [63, 80]])
@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_seen_by_nobody(kind, real_tokens):
    real = torch.arange(80) < torch.tensor(real_tokens)[:, None]
    ours, reference = random_qkv(80).requires_grad_(), random_qkv(80).requires_grad_()
    attention = build(kind, causal=False)
    mixed, expected = attention(*ours, real), expected_of(kind, attention, reference, causal=False, real=real)
    assert mixed.isfinite().all()
    mixed, expected = (x.transpose(1, 2)[real] for x in (mixed, expected))
    mixed.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.grad, reference.grad, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("_form")
@pytest.mark.parametrize("kind", KINDS)
def test_more_padding_changes_nothing(kind):
    qkv, attention = random_qkv(200), build(kind, causal=False)
    short, long = (attention(*qkv[..., :length, :], torch.arange(length).expand(2, -1) < 40) for length in (50, 200))
    torch.testing.assert_close(short[:, :, :40], long[:, :, :40], rtol=0, atol=1e-7)
    torch.testing.assert_close(short[:, :, :40], attention(*qkv[..., :40, :]), rtol=0, atol=1e-7)


@pytest.mark.usefixtures("_form")
@pytest.mark.parametrize("kind", KINDS)
def test_later_positions_change_nothing_before_them(kind):
    qkv, attention = random_qkv(100), build(kind)
    changed = torch.cat([qkv[..., :57, :], 10 * qkv[..., 57:, :]], -2)
    torch.testing.assert_close(attention(*changed)[:, :, :57], attention(*qkv)[:, :, :57], rtol=0, atol=1e-12)


@pytest.mark.usefixtures("_form")
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_stays_near(kind, causal):
    qkv, attention = random_qkv(100), build(kind, causal)
    half = attention(*qkv.bfloat16())
    assert half.dtype is torch.bfloat16
    torch.testing.assert_close(half.double(), attention(*qkv), rtol=0, atol=0.06)


@pytest.mark.parametrize("length", [1, 10, 16, 17, 33, 100])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"hierarchical"}))
def test_mean_keys_counts_what_the_reference_sees(kind, causal, length):
    seen = sum(int(in_window(length, window, causal).sum()) for window in WINDOWS[kind]) / N_HEADS
    assert build(kind, causal).mean_keys(length) == pytest.approx(seen / length)


def test_mean_keys_of_hierarchical_counts_summaries_and_their_making():
    near = 16 * 17 / 2 + 84 * 16
    # 84 queries see five summaries. Five queries score 96 positions, with 32 products each, and pool them with 32 more;
    # to look at a key takes 16 and 16.
    pooling = 5 * 96 * (32 + 32) / 32
    assert build("hierarchical").mean_keys(100) == pytest.approx((near + 84 * 5 + pooling) / 100)
    assert build("hierarchical", causal=False).mean_keys(10) == pytest.approx(10 + 5 + 5 * 2)


@pytest.mark.parametrize("pieces", [[1] * 60, [40] + [1] * 20, [5, 1, 20, 1, 1, 32], [60], [16, 16, 16, 12]])
@pytest.mark.parametrize("kind", KINDS)
def test_cached_equals_whole(kind, pieces):
    q, k, v = random_qkv(60)
    attention = build(kind)
    cache = attention.new_cache(q, (2, N_HEADS, 16), 60)
    parts = zip(*(x.split(pieces, dim=2) for x in (q, k, v)), strict=True)
    mixed = torch.cat([cache.attend(*part) for part in parts], dim=2)
    torch.testing.assert_close(mixed, attention(q, k, v), rtol=0, atol=1e-5)


def step(cache, q, k, v):
    return cache.step(q / q.shape[-1] ** 0.5, k, v)


@pytest.mark.parametrize("prompt", [0, 1, 16, 37])
@pytest.mark.parametrize("length", [10, 16, 17, 60])
@pytest.mark.parametrize("kind", KINDS)
def test_single_steps_equal_whole(kind, length, prompt):
    q, k, v = random_qkv(length)
    attention, prompt = build(kind), min(prompt, length - 1)
    cache = attention.new_cache(q, (2, N_HEADS, 16), length)
    mixed = [cache.attend(*(x[:, :, :prompt] for x in (q, k, v)))] if prompt else []
    mixed += [step(cache, *(x[:, :, t] for x in (q, k, v)))[:, :, None] for t in range(prompt, length)]
    torch.testing.assert_close(torch.cat(mixed, dim=2), attention(q, k, v), rtol=0, atol=1e-5)


@pytest.mark.parametrize("seen", [10, 30])
@pytest.mark.parametrize("kind", KINDS)
def test_selected_rows_go_on_as_before(kind, seen):
    q, k, v = random_qkv(40, batch=3)
    attention = build(kind)
    cache = attention.new_cache(q, (3, N_HEADS, 16), 40)
    cache.attend(q[:, :, :seen], k[:, :, :seen], v[:, :, :seen])
    rows = torch.tensor([2, 0])
    cache.select(rows)
    mixed = [step(cache, *(x[rows, :, t] for x in (q, k, v))) for t in range(seen, 40)]
    torch.testing.assert_close(torch.stack(mixed, 2), attention(q, k, v)[rows, :, seen:], rtol=0, atol=1e-5)


def held(cache) -> int:
    """Numbers in all tensors that can be reached from `cache`."""
    if isinstance(cache, torch.Tensor):
        return cache.untyped_storage().nbytes()
    if isinstance(cache, list | tuple):
        return sum(map(held, cache))
    return sum(map(held, vars(cache).values())) if hasattr(cache, "__dict__") else 0


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"full"}))
def test_linear_kinds_remember_no_more_of_longer_pieces(kind):
    sizes = []
    for steps in (50, 100):
        cache = build(kind).new_cache(torch.empty(0), (1, N_HEADS, 16), 10_000)
        for qkv in torch.randn(steps, 3, 1, N_HEADS, 16):
            cache.step(*qkv)
        sizes.append(held(cache))
    assert sizes[0] == sizes[1] < 4 * 10_000

import pytest
import torch
from torch import Tensor

from aurl.model.attention import ATTENTION

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
    steps = zip(*(x.split(pieces, dim=2) for x in (q, k, v)), strict=True)
    mixed = torch.cat([cache.attend(*step) for step in steps], dim=2)
    torch.testing.assert_close(mixed, attention(q, k, v), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ATTENTION.kinds())
def test_selected_rows_go_on_as_before(kind):
    q, k, v = random_qkv(40, batch=3)
    attention = build(kind)
    cache = attention.new_cache(q, (3, 2, 16), 40)
    cache.attend(q[:, :, :30], k[:, :, :30], v[:, :, :30])
    rows = torch.tensor([2, 0])
    cache.select(rows)
    mixed = [cache.attend(*(x[rows, :, t : t + 1] for x in (q, k, v))) for t in range(30, 40)]
    torch.testing.assert_close(torch.cat(mixed, 2), attention(q, k, v)[rows, :, 30:], rtol=0, atol=1e-5)


def test_sliding_window_cache_is_no_larger_than_its_window():
    like = torch.empty(0)
    cache = build("sliding_window").new_cache(like, (1, 2, 16), 10_000)
    for _ in range(40):
        cache.attend(*torch.randn(3, 1, 2, 1, 16))
    assert cache._keys_values.shape[3] == 16

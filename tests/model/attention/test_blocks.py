import pytest
import torch
from tests.support.attention import brute_force, in_reach, random_qkv

from aurl.model.attention.blocks import block_attention
from aurl.model.attention.plan import Memory, Reach


@pytest.mark.parametrize("behind", [0, 1, 62, 63, 200, 1000])
@pytest.mark.parametrize("ahead", [0, 1, 63, 64, 150, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_blocks_of_every_shape_equal_brute_force(behind, ahead, dtype):
    length, tolerance = 333, 1e-5 if dtype is torch.float32 else 0.05
    qkv = random_qkv(length).to(dtype)
    mixed = block_attention(*qkv, Reach(behind, ahead)).double()
    torch.testing.assert_close(
        mixed, brute_force(*qkv.double(), in_reach(length, behind, ahead)), rtol=0, atol=tolerance
    )


def test_blocks_of_heads_do_not_mix(monkeypatch):
    monkeypatch.setattr("aurl.model.attention.plan.SCORE_BYTES", 1)
    qkv = random_qkv(100)
    expected = brute_force(*qkv, in_reach(100, 100, 0))
    torch.testing.assert_close(block_attention(*qkv, Reach(100, 0)), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("span", [20, 64, 100, 150, None])
def test_each_stretch_sees_its_own_memory(span):
    length, n_memories = 333, 1 if span is None else 332 // span
    ours, reference = ([x.requires_grad_() for x in _with_memory(length, n_memories)] for _ in range(2))
    *qkv, keys, values = ours
    mixed = block_attention(*qkv, Reach(70, 30), memory=Memory(keys, values, span))
    expected = _with_memory_by_force(*reference, span)
    mixed.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-5)
    for x, y in zip(ours, reference, strict=True):
        torch.testing.assert_close(x.grad, y.grad, rtol=0, atol=1e-5)


def _with_memory(length, n_memories):
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 2, length, 16)] * 3 + [(2, 2, n_memories, 4, 16)] * 2
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes]


def _with_memory_by_force(q, k, v, keys, values, span):
    length, n_memories = q.shape[2], keys.shape[2]
    seen_from = torch.zeros(length, dtype=torch.int64) if span is None else torch.arange(length) // span - 1
    remembered = (seen_from[:, None] == torch.arange(n_memories)).repeat_interleave(4, 1)
    seen = torch.cat([remembered, in_reach(length, 70, 30)], 1)
    return brute_force(q, *(torch.cat([more.flatten(2, 3), x], 2) for more, x in ((keys, k), (values, v))), seen)

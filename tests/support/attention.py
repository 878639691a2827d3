"""Small attention kinds, and what each of them computes, by brute force in fp64."""

import itertools

import torch
from torch import Tensor

from aurl.model.attention import ATTENTION

WIDTH, N_HEADS, D_HEAD = 32, 2, 16
WINDOW = 16
OPTIONS = {
    "sliding_window": {"window": WINDOW},
    "multi_scale": {"windows": (8, 24)},
    "hierarchical": {"window": WINDOW, "summaries": 5},
}
FAR = 10**9
WINDOWS = {
    "full": (FAR, FAR),
    "sliding_window": (WINDOW, WINDOW),
    "multi_scale": (8, 24),
    "hierarchical": (WINDOW, WINDOW),
}
"""Kind → the window of each of the two heads."""


def build(kind, causal=True):
    torch.manual_seed(0)
    return ATTENTION.build(kind, WIDTH, N_HEADS, causal, **OPTIONS.get(kind, {}))


def random_qkv(length, *, batch=2):
    generator = torch.Generator().manual_seed(length)
    return torch.randn(3, batch, N_HEADS, length, D_HEAD, generator=generator, dtype=torch.float64)


def in_reach(length: int, behind: int, ahead: int) -> Tensor:
    row, column = torch.meshgrid(torch.arange(length), torch.arange(length), indexing="ij")
    return (column <= row + ahead) & (column >= row - behind)


def in_window(length: int, window: int, causal: bool) -> Tensor:
    return in_reach(length, window - 1, 0) if causal else in_reach(length, window, window)


def brute_force(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    return ((q @ k.mT) / q.shape[-1] ** 0.5).masked_fill(~seen, float("-inf")).softmax(-1) @ v


def expected_of(kind, attention, qkv, *, causal, real=None) -> Tensor:
    """What padding itself gets is without meaning: here it may see itself."""
    if kind == "hierarchical":
        return _with_summaries(attention.summaries.queries.double(), *qkv, causal, real)
    length = qkv.shape[3]
    seen = torch.stack([in_window(length, window, causal) for window in WINDOWS[kind]])
    if real is not None:
        seen = seen & (real[:, None, None] | torch.eye(length, dtype=torch.bool))
    return brute_force(*qkv, seen)


def _with_summaries(queries, q, k, v, causal, real) -> Tensor:
    """One query after the other, each with the summaries of all that is before its block, or of everything.

    Of a past, what is n positions back from the last weighs less by n half-lives: half a window, … , 256 windows.
    """
    batch, n_heads, length, d_head = q.shape
    real = torch.ones(batch, length, dtype=torch.bool) if real is None else real
    half_lives = WINDOW * 0.5 * 512 ** (torch.arange(queries.shape[1]) / (queries.shape[1] - 1)).double()
    mixed = []
    for row, head, position in itertools.product(range(batch), range(n_heads), range(length)):
        keys, values = k[row, head], v[row, head]
        near = in_window(length, WINDOW, causal)[position] & real[row]
        near[position] = True
        pooled = real[row] & (torch.arange(length) < (position // WINDOW * WINDOW if causal else length))
        seen_k, seen_v = keys[near], values[near]
        if pooled.any():
            scores = queries[head] @ torch.cat([keys, values], 1)[pooled].T / (2 * d_head) ** 0.5
            back = torch.arange(int(pooled.sum())).flip(0) if causal else torch.zeros(1)
            weights = scores.exp() * 0.5 ** (back / half_lives[:, None])
            weights = weights / weights.sum(-1, keepdim=True)
            seen_k, seen_v = torch.cat([weights @ keys[pooled], seen_k]), torch.cat([weights @ values[pooled], seen_v])
        mixed.append((seen_k @ q[row, head, position] / d_head**0.5).softmax(0) @ seen_v)
    return torch.stack(mixed).view(batch, n_heads, length, d_head)

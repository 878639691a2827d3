"""Attention to near positions as one kernel call over blocks: what accelerators do fastest."""

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from aurl.model.attention.plan import Memory, Reach


def band(n_queries: int, n_before: int, window: int, device: torch.device) -> Tensor:
    """`(n_queries, n_before + n_queries)`: True where a query may look; the last key is the last query's own."""
    query = torch.arange(n_queries, device=device)[:, None] + n_before
    key = torch.arange(n_before + n_queries, device=device)
    return (key <= query) & (key > query - window)


def _blocks(x: Tensor, size: int) -> Tensor:
    """`(B, H, T, D)` → `(B, N, H, size, D)`; what pads the last block is later than every real query."""
    batch, n_heads, length, d_head = x.shape
    padded = pad(x, (0, 0, 0, -length % size))
    return padded.reshape(batch, n_heads, -1, size, d_head).transpose(1, 2)


def _joined(blocks: Tensor) -> Tensor:
    """`(B, N, H, size, D)` → `(B, H, N size, D)`."""
    return blocks.transpose(1, 2).flatten(2, 3)


def _with_previous(blocks: Tensor, remembered: Tensor | None) -> Tensor:
    """`(B, N, H, size, D)` → `(B (N - 1), H, S + 2 size, D)`: all but the first, behind memory and predecessor."""
    parts = [] if remembered is None else [remembered.transpose(1, 2)]
    return torch.cat([*parts, blocks[:, :-1], blocks[:, 1:]], dim=3).flatten(0, 1)


def banded(
    q: Tensor, k: Tensor, v: Tensor, reach: Reach, *, real: Tensor | None = None, memory: Memory | None = None
) -> Tensor:
    """The same as `block_attention`; the span of a causal memory must be the window.

    Blocks are as long as the reach, so that a query's neighbours are in its own block and the blocks beside it.
    """
    if reach.ahead:
        return _to_both_sides(q, k, v, reach, real, memory)
    return _causal(q, k, v, reach.behind + 1, memory)


def _causal(q: Tensor, k: Tensor, v: Tensor, window: int, memory: Memory | None) -> Tensor:
    length = q.shape[2]
    if length <= window:
        return scaled_dot_product_attention(q, k, v, is_causal=True)
    queries, keys, values = (_blocks(x, window) for x in (q, k, v))
    first = scaled_dot_product_attention(queries[:, 0], keys[:, 0], values[:, 0], is_causal=True)
    more_k, more_v = (None, None) if memory is None else memory[:2]
    seen = band(window, window, window, q.device)
    if more_k is not None:
        seen = pad(seen, (more_k.shape[3], 0), value=True)
    later, pairs = queries[:, 1:], (_with_previous(keys, more_k), _with_previous(values, more_v))
    rest = scaled_dot_product_attention(later.flatten(0, 1), *pairs, attn_mask=seen)
    return _joined(torch.cat([first[:, None], rest.view_as(later)], dim=1))[:, :, :length]


def _surrounded(x: Tensor, size: int, remembered: Tensor | None) -> Tensor:
    """`(B, H, T, D)` → `(B N, H, S + 3 size, D)`: each block after its memory, with the blocks on both sides."""
    blocks = pad(x, (0, 0, size, -x.shape[2] % size + size)).unfold(2, 3 * size, size).mT.transpose(1, 2)
    if remembered is not None:
        blocks = torch.cat([remembered.transpose(1, 2).expand(-1, blocks.shape[1], -1, -1, -1), blocks], dim=3)
    return blocks.flatten(0, 1)


def seen_around(reach: Reach, size: int, real: Tensor) -> Tensor:
    """`(B, N, size, 3 size)`: True where a query may look, in its block and those beside it; always at itself."""
    query = torch.arange(size, device=real.device)[:, None]
    key = torch.arange(-size, 2 * size, device=real.device)
    inside = (key <= query + reach.ahead) & (key >= query - reach.behind)
    around = pad(real, (size, -real.shape[1] % size + size)).unfold(1, 3 * size, size)  # (B, N, 3 size)
    return (inside & around[:, :, None]) | (key == query)


def _to_both_sides(q: Tensor, k: Tensor, v: Tensor, reach: Reach, real: Tensor | None, memory: Memory | None) -> Tensor:
    batch, _, length, _ = q.shape
    size = min(max(reach), length)
    more_k, more_v = (None, None) if memory is None else memory[:2]
    seen = seen_around(reach, size, q.new_ones(1, length, dtype=torch.bool) if real is None else real)
    if more_k is not None:
        seen = pad(seen, (more_k.shape[3], 0), value=True)
    queries, pairs = _blocks(q, size), (_surrounded(k, size, more_k), _surrounded(v, size, more_v))
    seen = seen.expand(batch, -1, -1, -1).flatten(0, 1)[:, None]
    mixed = scaled_dot_product_attention(queries.flatten(0, 1), *pairs, attn_mask=seen)
    return _joined(mixed.view_as(queries))[:, :, :length]

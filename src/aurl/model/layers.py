"""The pre-norm transformer block."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn.functional import dropout, rms_norm, silu

from aurl.model.attention import AttentionKind, LayerCache
from aurl.model.rotary import Rotation, rotate

EPSILON = 1e-7
"""Keeps zeros zero."""


def normalised(x: Tensor) -> Tensor:
    """Root mean square 1 over the last dimension; without learned scale, which the next linear layer holds already."""
    if x.device.type != "cpu":
        return rms_norm(x, (x.shape[-1],))
    # torch's rms_norm is fused on GPUs only. On a CPU these four operations take 2/3 of its time, backward included.
    norm = vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32 if x.dtype in _HALVES else None)
    scaled: Tensor = (x / (norm * x.shape[-1] ** -0.5 + EPSILON)).to(x.dtype)
    return scaled


_HALVES = (torch.float16, torch.bfloat16)


class SelfAttention(nn.Module):
    """Multi-head self-attention with rotary positions and normalised queries and keys.

    Args:
        d_model: width of the residual stream, a multiple of `n_heads`.
        n_heads: number of heads.
        kind: which positions look at which.
        dropout: probability of dropping an attention weight.
    """

    def __init__(self, d_model: int, n_heads: int, kind: AttentionKind, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.kind = kind
        self.dropout = dropout
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x: Tensor, rotation: Rotation, cache: LayerCache | None = None) -> Tensor:
        """`(B, T, d_model)` → the same, mixed over time."""
        qkv = self.qkv(x).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)  # (3, B, H, T, D)
        q, k = rotate(normalised(qkv[:2]), rotation)
        v = qkv[2]
        if cache is not None:
            mixed = cache.attend(q, k, v)
        else:
            mixed = self.kind(q, k, v, dropout=self.dropout if self.training else 0.0)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out

    def new_cache(self, batch: int, capacity: int) -> LayerCache:
        """Room for `capacity` tokens of `batch` rows."""
        d_head = self.out.in_features // self.n_heads
        return self.kind.new_cache(self.out.weight.detach(), (batch, self.n_heads, d_head), capacity)


class FeedForward(nn.Module):
    """SwiGLU (Shazeer, 2020).

    Args:
        d_model: width of the residual stream.
        d_hidden: width between.
    """

    def __init__(self, d_model: int, d_hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(d_model, 2 * d_hidden, bias=False)
        self.down = nn.Linear(d_hidden, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, T, d_model)` → the same, each position for itself."""
        gate, value = self.up(x).chunk(2, dim=-1)
        out: Tensor = self.down(silu(gate) * value)
        return out


class Block(nn.Module):
    """Attention, then feed-forward, each on the normalised stream and added to it.

    Args:
        attention: mixes over time.
        feed_forward: mixes over features.
        dropout: probability of dropping a feature of what is added.
    """

    def __init__(self, attention: SelfAttention, feed_forward: FeedForward, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward
        self.dropout = dropout

    def forward(self, x: Tensor, rotation: Rotation, cache: LayerCache | None = None) -> Tensor:
        """`(B, T, d_model)` → the same."""
        x = x + dropout(self.attention(normalised(x), rotation, cache), self.dropout, self.training)
        return x + dropout(self.feed_forward(normalised(x)), self.dropout, self.training)


def initialise(blocks: Sequence[Block]) -> None:
    """Normal weights of variance 1 / fan-in; what is added to the stream shrinks with the depth (GPT-2)."""
    for block in blocks:
        for linear in (block.attention.qkv, block.feed_forward.up):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
        for linear in (block.attention.out, block.feed_forward.down):
            nn.init.normal_(linear.weight, std=(2 * len(blocks) * linear.in_features) ** -0.5)

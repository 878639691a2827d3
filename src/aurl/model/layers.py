"""The pre-norm transformer block, of operations that a CPU runs fast.

Queries and keys are not normalised: at equal CPU time that brought nothing (3.165 nats/token with, 3.152 without, after
150 s on one core), and it is one more operation in each decode step.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import dropout, layer_norm, relu

from aurl.model.attention import AttentionKind, LayerCache
from aurl.model.rotary import rotate
from aurl.model.twice import is_twice


def normalised(x: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the last dimension, without learned scale, which the next linear layer has already.

    One fused kernel each way; the backward pass of torch's `rms_norm` is five times slower on a CPU.
    """
    return layer_norm(x, (x.shape[-1],))


class SquaredReLU(Function):
    """max(0, x)² (So et al., Primer, 2021), keeping one tensor for the backward pass.

    A third of the time of SwiGLU with as many weights: a training step of a small model is 9 % shorter.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Elementwise."""
        positive = relu(x)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """2 max(0, x) times the gradient."""
        (positive,) = ctx.saved_tensors
        gradient: Tensor = (positive * grad).mul_(2)
        return gradient


class SelfAttention(nn.Module):
    """Multi-head self-attention with rotary positions.

    Args:
        d_model: width of the residual stream, a multiple of `n_heads`.
        n_heads: number of heads.
        kind: which positions look at which.
    """

    def __init__(self, d_model: int, n_heads: int, kind: AttentionKind) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.kind = kind
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x: Tensor, turns: Tensor, cache: LayerCache | None = None, real: Tensor | None = None) -> Tensor:
        """`(B, T, d_model)` → the same, mixed over time; `real` `(B, T)` says what is no padding."""
        qkv = self.qkv(x).unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)  # (3, B, H, T, D)
        q, k = rotate(qkv[:2], turns)
        mixed = self.kind(q, k, qkv[2], real) if cache is None else cache.attend(q, k, qkv[2])
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out

    def new_cache(self, batch: int, capacity: int) -> LayerCache:
        """Room for `capacity` tokens of `batch` rows."""
        d_head = self.out.in_features // self.n_heads
        return self.kind.new_cache(self.out.weight.detach(), (batch, self.n_heads, d_head), capacity)


class FeedForward(nn.Module):
    """Two linear layers around a squared ReLU.

    Args:
        d_model: width of the residual stream.
        d_hidden: width between.
    """

    def __init__(self, d_model: int, d_hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(d_model, d_hidden, bias=False)
        self.down = nn.Linear(d_hidden, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, T, d_model)` → the same, each position for itself."""
        inner = self.up(x)
        squared = relu(inner).square() if is_twice() else SquaredReLU.apply(inner)  # type: ignore[no-untyped-call]
        out: Tensor = self.down(squared)
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

    def forward(self, x: Tensor, turns: Tensor, cache: LayerCache | None = None, real: Tensor | None = None) -> Tensor:
        """`(B, T, d_model)` → the same; `real` `(B, T)` says what is no padding."""
        x = x + dropout(self.attention(normalised(x), turns, cache, real), self.dropout, self.training)
        return x + dropout(self.feed_forward(normalised(x)), self.dropout, self.training)


def initialise(blocks: Sequence[Block]) -> None:
    """Normal weights of variance 1 / fan-in; what is added to the stream shrinks with the depth (GPT-2)."""
    for block in blocks:
        for linear in (block.attention.qkv, block.feed_forward.up):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
        for linear in (block.attention.out, block.feed_forward.down):
            nn.init.normal_(linear.weight, std=(2 * len(blocks) * linear.in_features) ** -0.5)

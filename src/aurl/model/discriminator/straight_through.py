"""Sampled ids that a gradient can pass."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import one_hot


class StraightThrough(Function):
    """One-hots of sampled ids forward, the Jacobian of the softmax backward (Bengio et al., 2013).

    A function of its own, for `hard + soft - soft.detach()` keeps two more tensors of the size of the logits.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
        """`(..., V)` → the same shape, float32."""
        probabilities = torch.softmax(logits.float() / temperature, -1)
        ctx.save_for_backward(probabilities)
        ctx.temperature, ctx.type = temperature, logits.dtype
        return one_hot(sampled(probabilities, generator), logits.shape[-1]).to(probabilities.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Gradient g → p (g − p · g) / temperature."""
        (probabilities,) = ctx.saved_tensors
        mean = (probabilities * grad).sum(-1, keepdim=True)
        return ((grad - mean) * probabilities).div_(ctx.temperature).to(ctx.type), None, None


def sampled(probabilities: Tensor, generator: torch.Generator | None) -> Tensor:
    """An id for each distribution, by inverting its cumulative sum: one random number each, where torch takes V."""
    cumulative = probabilities.cumsum(-1)
    total = cumulative[..., -1:]
    uniform = torch.rand(total.shape, generator=generator, device=total.device)
    # An id of probability 0 has an empty interval, and uniform * total < total, so that none is ever drawn.
    return torch.searchsorted(cumulative, uniform * total, right=True)[..., 0]


def straight_through(logits: Tensor, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """One-hots `(B, T, V)`, float32, of ids drawn from softmax(logits / temperature), with the gradient of the softmax.

    Args:
        logits: (B, T, V); half precision is computed in float32.
        temperature: > 0; of the draw and of the gradient.
        generator: of the logits' device; None for torch's own. It gives one number for each id.
    """
    one_hots: Tensor = StraightThrough.apply(logits, temperature, generator)  # type: ignore[no-untyped-call]
    return one_hots

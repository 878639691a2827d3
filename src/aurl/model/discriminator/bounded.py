"""Linear layers that lengthen no vector, and what stands between them."""

from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, leaky_relu, linear, normalize, pad
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import ParametrizationList

SQUARINGS = 10
"""Of the Gram matrix in each forward pass in training: as good as 2 ** 10 power iterations, in 10 small products.

A spectrum that begins flat stays nearly so, and there power iterations are slow: after 8 of them σ was up to 1.045 in
the first steps with Adam at 1e-3; with 8 squarings 1.006, with 10 1.002.
"""
NEGATIVE_SLOPE = 0.2


def full_precision(x: Tensor) -> AbstractContextManager[None]:
    """Where autocast is on for the device of `x`: off."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


class Bounded(nn.Linear):
    """A linear layer whose largest singular value is 1 (Miyato et al., Spectral Normalization, 2018).

    It begins orthogonal, so that the norm is exact from the start, and torch's estimate of it is helped to follow the
    weights. Both in float32 under autocast.

    Args:
        in_features: size of what it takes.
        out_features: size of what it gives.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        nn.init.orthogonal_(self.weight)
        nn.init.zeros_(self.bias)
        spectral_norm(self)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., in_features)` → `(..., out_features)`."""
        with full_precision(x):
            if self.training:
                self._follow()
            weight = self.weight
        return linear(x, weight, self.bias)

    @torch.no_grad()
    def _follow(self) -> None:
        """Turn the right singular vector that torch keeps, from which its own power iteration starts, to the first."""
        parametrized = cast("ParametrizationList", cast("nn.ModuleDict", self.parametrizations)["weight"])
        weight, right = parametrized.original, dict(parametrized[0].named_buffers())["_v"]
        power = weight @ weight.T
        for _ in range(SQUARINGS):
            power = power / power.trace()
            power = power @ power
        right.copy_(normalize(weight.T @ (power @ (weight @ right)), dim=0))


class Head(Bounded):
    """Scores, always in float32.

    Args:
        in_features: size of what is judged.
    """

    def __init__(self, in_features: int) -> None:
        super().__init__(in_features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., in_features)` → `(..., 1)`."""
        with full_precision(x):
            return super().forward(x.float())


def activated(x: Tensor) -> Tensor:
    """Leaky ReLU, which lengthens nothing either."""
    return leaky_relu(x, NEGATIVE_SLOPE)


def looked_up(tokens: Tensor, table: Tensor) -> Tensor:
    """`(B, T, d)`: rows of `table` `(V, d)` for ids `(B, T)`, or for one-hots `(B, T, V)`, which get a gradient."""
    return tokens.to(table.dtype) @ table if tokens.is_floating_point() else embedding(tokens, table)


def average(x: Tensor, counted: Tensor) -> Tensor:
    """`(B, d)`: mean in float32 of those of `x` `(B, n, d)` that are `counted` `(B, n)`; 0 where none is."""
    weight = counted.float()
    return torch.einsum("bnd,bn->bd", x.float(), weight) / weight.sum(1, keepdim=True).clamp(min=1)


def grouped(x: Tensor, size: int) -> Tensor:
    """`(N, L, …)` → `(N, L / size, size, …)`, rounded up, with zeros behind."""
    whole = pad(x, (*(0, 0) * (x.dim() - 2), 0, -x.shape[1] % size))
    return whole.reshape(x.shape[0], -1, size, *x.shape[2:])

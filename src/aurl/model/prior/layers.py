"""Invertible layers that lead from latents to noise."""

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, silu

from aurl.model.prior.normal import FromContext, bounded

LOG_SCALE_LIMIT = 2.0
"""One coupling stretches no dimension more than e² times: in both directions no layer gets out of hand."""
SMALLEST_HIDDEN = 32
"""Units of a coupling's network; in larger latents as many as there are dimensions."""
STEEPEST_INVERSE = 100.0
"""A planar layer squeezes nothing more than so many times; without a limit its inverse would have no steps that floats
can make."""
BISECTIONS = 32
"""Halvings of the interval in which a root lies; so near to it one step of Newton's method does the rest."""


class Coupling(nn.Module):
    """Every second dimension is shifted and scaled by a function of the others (RealNVP: Dinh et al., ICLR 2017).

    Args:
        size: dimensions of a latent.
        context_size: dimensions of the context, 0 for none.
        parity: whether the even (0) or odd (1) dimensions stay as they are.
    """

    kept: Tensor

    def __init__(self, size: int, context_size: int, *, parity: int) -> None:
        super().__init__()
        hidden = max(SMALLEST_HIDDEN, size)
        self.register_buffer("kept", torch.arange(size) % 2 == parity, persistent=False)
        # On two moons a second hidden layer is worth 0.25 nats after as many steps.
        self.read = nn.Sequential(nn.Linear(size + context_size, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.out = nn.Linear(hidden, 2 * size)
        nn.init.zeros_(self.out.weight)  # begins as the identity
        nn.init.zeros_(self.out.bias)

    def forward(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Towards noise: `(…, size)`, and the log-determinant `(…)`."""
        shift, log_scale = self._change(z, context)
        return z * log_scale.exp() + shift, log_scale.sum(-1)

    def inverse(self, u: Tensor, context: Tensor | None) -> Tensor:
        """From noise."""
        shift, log_scale = self._change(u, context)
        return (u - shift) * torch.exp(-log_scale)

    def _change(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        known = x.masked_fill(~self.kept, 0)
        inputs = known if context is None else torch.cat([known, context.expand(*x.shape[:-1], -1)], -1)
        shift, log_scale = self.out(silu(self.read(inputs))).masked_fill(self.kept.repeat(2), 0).chunk(2, -1)
        return shift, bounded(log_scale, LOG_SCALE_LIMIT)


class Planar(nn.Module):
    """z + û tanh(wᵀz + b) (Rezende & Mohamed, ICML 2015), from latents to noise; the other way is solved for.

    û is u, moved along w so that 1 + wᵀû > 0: the layer is then invertible. Where u = 0 it is the identity, which is
    where it begins; the paper's own constraint has no identity.

    Args:
        size: dimensions of a latent.
        context_size: dimensions of the context, 0 for none.
    """

    def __init__(self, size: int, context_size: int) -> None:
        super().__init__()
        w = torch.randn(size) * size**-0.5
        self.parameters_of = FromContext(context_size, torch.cat([w, torch.zeros(size + 1)]))
        self.size = size

    def forward(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Towards noise: `(…, size)`, and the log-determinant `(…)`."""
        w, u, b, slope = self._plane(context)
        bend = torch.tanh((w * z).sum(-1, keepdim=True) + b)
        log_determinant = torch.log1p(slope * (1 - bend.square()))[..., 0]
        return z + u * bend, log_determinant.expand(z.shape[:-1])

    def inverse(self, y: Tensor, context: Tensor | None) -> Tensor:
        """From noise, by way of a = wᵀz, which solves the monotone a + wᵀû tanh(a + b) = wᵀy."""
        w, u, b, slope = self._plane(context)
        along = (w * y).sum(-1, keepdim=True)
        with torch.no_grad():
            low, high = along - slope.abs(), along + slope.abs()
            for _ in range(BISECTIONS):
                middle = (low + high) / 2
                above = middle + slope * torch.tanh(middle + b) > along
                low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        bend = torch.tanh(middle + b)
        # Newton's step, which carries the gradient of the root too.
        root = middle - (middle + slope * bend - along) / (1 + slope * (1 - bend.square())).detach()
        return y - u * torch.tanh(root + b)

    def _plane(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(w, û), both (…, size), and (b, wᵀû), both (…, 1)."""
        w, u, b = self.parameters_of(context).split([self.size, self.size, 1], -1)
        product = (w * u).sum(-1, keepdim=True)
        slope = elu(product, alpha=1 - 1 / STEEPEST_INVERSE)
        square = w.square().sum(-1, keepdim=True).clamp(min=torch.finfo(w.dtype).tiny)
        return w, u + (slope - product) * w / square, b, slope

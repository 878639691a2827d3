"""Hears windows of a certain length, wherever they are."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from aurl.errors import UsageError
from aurl.model.discriminator.bounded import Bounded, Head, activated, average, grouped, looked_up
from aurl.model.layers import normalised

LAST_POSITIONS = 4
"""About how many positions a window has left when it is heard as a whole."""


def strides_of(scale: int, n_layers: int) -> list[int]:
    """Powers of two, nearly equal, that bring `scale` positions down to about `LAST_POSITIONS`."""
    octaves, strides = math.log2(max(1.0, scale / LAST_POSITIONS)), []
    for left in range(n_layers, 0, -1):
        step = round(octaves / left)
        strides.append(2**step)
        octaves = max(0.0, octaves - step)
    return strides


def embedded(tokens: Tensor, table: Tensor) -> Tensor:
    """`(B, T, d_embedding)`: ids or one-hots in the table as all scales hear it."""
    return looked_up(tokens, normalised(table))


class Strided(nn.Module):
    """A convolution of kernel 2 · stride, as a linear layer over each patch and the one before it.

    Written so, the norm that is bounded is that of what is multiplied; that of a convolution's kernel says less.

    Args:
        d_model: width, of what it takes and gives.
        stride: positions of a patch.
    """

    def __init__(self, d_model: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.mix = Bounded(2 * stride * d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, L, d_model)` → `(N, L / stride, d_model)`, rounded up."""
        patches = grouped(x, self.stride).flatten(2)
        before = pad(patches[:, :-1], (0, 0, 1, 0))
        return activated(self.mix(torch.cat([before, patches], -1)))


class WindowView(nn.Module):
    """Convolutions over windows that overlap by half, each window then judged as a whole.

    Args:
        d_embedding: width of the generator's table.
        scale: ids in a window, an even number.
        d_model: width of the layers.
        n_layers: convolutions.

    Raises:
        UsageError: `scale` is odd.
    """

    def __init__(self, d_embedding: int, *, scale: int, d_model: int, n_layers: int) -> None:
        super().__init__()
        if scale % 2:
            raise UsageError(f"windows of {scale} ids", hint="discriminator.scales should be even numbers")
        self.hop = scale // 2
        self.enter = Bounded(d_embedding, d_model)
        strides = strides_of(scale, n_layers)
        self.layers = nn.ModuleList([Strided(d_model, stride) for stride in strides])
        left = scale
        for stride in strides:
            left = -(-left // stride)
        self.gather = Bounded(left * d_model, d_model)
        self.head = Head(d_model)

    def forward(self, tokens: Tensor, table: Tensor, real: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Score `(B, 1)`, the mean over windows, and what each layer hears, `(B, windows, positions, d_model)`."""
        # The table is narrowed before ids are looked up in it, not after: four times fewer operations at V = 1000.
        return self._hear(looked_up(tokens, self.enter(normalised(table))), real)

    def hear(self, embedded_ids: Tensor, real: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The same for what `embedded` gives, which may lie between ids."""
        return self._hear(self.enter(embedded_ids), real)

    def _hear(self, narrow: Tensor, real: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        windows = self._windows(narrow * real[..., None])  # (B, W, scale, d)
        counted = self._counted(real)  # (B, W)
        heard, features = windows.flatten(0, 1), []
        for layer in self.layers:
            heard = layer(heard)
            features.append(heard)
        heard = activated(self.gather(heard.flatten(1)))
        features.append(heard[:, None])
        scores = self.head(heard).unflatten(0, counted.shape)  # (B, W, 1)
        maps = (feature.unflatten(0, counted.shape) * counted[..., None, None] for feature in features)
        return average(scores, counted), tuple(maps)

    def _windows(self, x: Tensor) -> Tensor:
        """`(B, T, …)` → `(B, W, scale, …)`."""
        halves = grouped(x, self.hop)
        if halves.shape[1] == 1:
            return torch.cat([halves, torch.zeros_like(halves)], 2)
        return torch.cat([halves[:, :-1], halves[:, 1:]], 2)

    def _counted(self, real: Tensor) -> Tensor:
        """`(B, W)`: windows with an id in their second half; the first one with any id.

        So no window is mostly padding unless the piece is shorter than half a window.
        """
        windows = self._windows(real[..., None])[..., 0]
        first = torch.arange(windows.shape[1], device=real.device) == 0
        return windows[..., self.hop :].any(-1) | (first & windows.any(-1))

"""Hears how vectors follow each other, over as many of them as there are."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from aurl.model.discriminator.bounded import Bounded, Head, activated, average

KERNEL = 3
LAGS = (1, 2, 4, 8, 16, 32)
"""How far back each vector is compared: form is what returns, and when."""
LIKENESS_GAIN = 4.0
"""So that likenesses, -1…1, are not drowned by vectors of many dimensions."""

QUIET = 0.01
"""Squared length below which a vector is like nothing. Segments without a note are nearly zero: divided by their own
length they sent back gradients of 1e9."""


class Dilated(nn.Module):
    """A convolution of kernel 3, as a linear layer over each vector and those `reach` before and behind it.

    Args:
        d_model: width, of what it takes and gives.
        reach: how far away the neighbours are.
    """

    def __init__(self, d_model: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.mix = Bounded(KERNEL * d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, n, d_model)` → the same."""
        wide = pad(x, (0, 0, self.reach, self.reach))
        n = x.shape[1]
        neighbours = [wide[:, start : start + n] for start in range(0, KERNEL * self.reach, self.reach)]
        return activated(self.mix(torch.cat(neighbours, -1)))


def likeness(vectors: Tensor, real: Tensor) -> Tensor:
    """`(B, n, lags)`: cosine between each of `vectors` `(B, n, size)` and the one each of `LAGS` before; else 0.

    Convolutions hear sums of vectors. That two are alike is a product, which they learn slowly or never.
    """
    vectors = vectors.float()
    lengths = torch.sqrt(vectors.square().sum(-1, keepdim=True) + QUIET)
    directions = vectors / lengths * real[..., None]
    n = directions.shape[1]
    found = [(directions * pad(directions, (0, 0, lag, 0))[:, :n]).sum(-1) for lag in LAGS]
    return torch.stack(found, -1)


class CourseView(nn.Module):
    """Dilated convolutions over vectors and how alike they are to earlier ones.

    Their reach triples, so that the last hears 3 ** n_layers vectors without a gap.

    Args:
        size: dimensions of each vector.
        d_model: width of the layers.
        n_layers: convolutions.
    """

    def __init__(self, size: int, *, d_model: int, n_layers: int) -> None:
        super().__init__()
        self.enter = Bounded(size + len(LAGS), d_model)
        self.layers = nn.ModuleList([Dilated(d_model, KERNEL**layer) for layer in range(n_layers)])
        self.head = Head(d_model)

    def forward(self, vectors: Tensor, real: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Score `(B, 1)` and what each layer hears, `(B, n, d_model)`, of `vectors` `(B, n, size)` that are `real`."""
        return self.hear(vectors, real)

    def hear(self, vectors: Tensor, real: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The same, called by a name that all parts have."""
        mask = real[..., None]
        alike = LIKENESS_GAIN * likeness(vectors, real)
        heard = activated(self.enter(torch.cat([vectors, alike.to(vectors.dtype)], -1))) * mask
        features = [heard]
        for layer in self.layers:
            heard = layer(heard) * mask
            features.append(heard)
        return average(self.head(heard), real), tuple(features)

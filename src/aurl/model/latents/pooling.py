"""From many vectors to few: what an encoder goes up by."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

WIDTH_OF_ALL = 4
"""Vectors that are pooled together keep this many times `d_model` dimensions between them before they become one."""
SMALLEST_SHARE = 8
"""Dimensions that each of them keeps at least."""
QUERIES = 4


class OrderedPooling(nn.Module):
    """Each run of `count` vectors → one, by a projection that knows the place of each: order is not lost, as by a mean.

    Args:
        d_model: dimensions of the vectors.
        count: how many become one.
    """

    def __init__(self, d_model: int, count: int) -> None:
        super().__init__()
        self.count = count
        share = max(SMALLEST_SHARE, WIDTH_OF_ALL * d_model // count)
        self.narrow = nn.Linear(d_model, share, bias=False)
        self.join = nn.Linear(count * share, d_model, bias=False)
        for linear in (self.narrow, self.join):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)

    def forward(self, x: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """`(B, T, d_model)` and which of them are real → `(B, ceil(T / count), d_model)` and which of those are."""
        missing = -x.shape[1] % self.count
        real = pad(real, (0, missing))
        narrow = pad(self.narrow(x), (0, 0, 0, missing)) * real[..., None]
        joined: Tensor = self.join(narrow.reshape(x.shape[0], -1, self.join.in_features))
        return joined, real.view(x.shape[0], -1, self.count).any(-1)


class AttentionPooling(nn.Module):
    """All vectors → one, by learned queries that choose among them (Lee et al., Set Transformer, ICML 2019).

    Args:
        d_model: dimensions of the vectors.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(QUERIES, d_model) * d_model**-0.5)
        self.value = nn.Linear(d_model, d_model, bias=False)
        self.join = nn.Linear(QUERIES * d_model, d_model, bias=False)
        for linear in (self.value, self.join):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """`(B, n, d_model)`, those that are real `(B, n)` → `(B, 1, d_model)`."""
        scores = (x @ self.queries.mT).mT.float()  # (B, QUERIES, n)
        weights = scores.masked_fill(~real[:, None], torch.finfo(scores.dtype).min).softmax(-1)
        pooled: Tensor = self.join((weights.to(x.dtype) @ self.value(x)).flatten(1))
        return pooled[:, None]

"""Latents → what each position of the decoder is told of them."""

from collections.abc import Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from aurl.model.latents.levels import Latents, Level


class LatentStream(nn.Module):
    """One vector for each position: the sum of what every level says there.

    A latent says something else at each place of its segment, so that order is kept: a fine latent at each of its
    tokens, another at each segment of the level below it.

    Args:
        levels: coarse to fine.
        size: dimensions of the stream.
    """

    def __init__(self, levels: Sequence[Level], size: int) -> None:
        super().__init__()
        self.size = size
        self.steps = _steps(levels)
        self.unfold = nn.ModuleDict()
        for level in levels:
            step = self.steps[level.name]
            places = level.tokens // step if level.tokens and step else 1
            linear = nn.Linear(level.size, places * size, bias=False)
            nn.init.normal_(linear.weight, std=(level.size * len(levels)) ** -0.5)
            self.unfold[level.name] = linear

    def forward(self, latents: Latents, positions: Tensor, kept: Mapping[str, Tensor] | None = None) -> Tensor:
        """`(B, T, size)` at `positions` `(T,)`, counted from the first token.

        Args:
            latents: level → (B, n, size of the level).
            positions: which tokens.
            kept: level → (B,) bool, where the level is heard at all; None: everywhere.
        """
        return reduce(torch.add, (self._told(name, latents[name], positions, kept) for name in self.unfold))

    def _told(self, name: str, latent: Tensor, positions: Tensor, kept: Mapping[str, Tensor] | None) -> Tensor:
        told: Tensor = self.unfold[name](latent).unflatten(-1, (-1, self.size)).flatten(1, 2)  # (B, n × places, size)
        if kept is not None:
            told = told * kept[name][:, None, None]
        step = self.steps[name]
        return told.index_select(1, positions // step if step else torch.zeros_like(positions))


def _steps(levels: Sequence[Level]) -> dict[str, int]:
    """Level → tokens for which it says the same: those of a segment of the level below, a single one; 0: all."""
    below = [level.tokens or 0 for level in levels[1:]] + [1]
    return {level.name: step if level.tokens else 0 for level, step in zip(levels, below, strict=True)}

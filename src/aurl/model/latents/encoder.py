"""Music → posteriors of its latents, from the finest level up."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from aurl.model.attention import ATTENTION
from aurl.model.latents.levels import Level
from aurl.model.latents.pooling import AttentionPooling, OrderedPooling
from aurl.model.latents.posterior import Posterior, PosteriorHead
from aurl.model.layers import Block, FeedForward, SelfAttention, initialise, normalised
from aurl.model.rotary import Rotary


class Encoder(nn.Module):
    """Blocks over tokens, then over the segments of each level, each level made from the one below it.

    What is done for every token is kept light: one or two blocks that see few neighbours. Segments are so few that
    blocks over them cost next to nothing, and they see the whole window.

    Args:
        d_model: width of the residual stream.
        levels: coarse to fine; the first is global.
        n_heads: heads of each attention.
        d_hidden: inner width of the feed-forward layers over tokens; over segments it is `d_model`.
        pattern: attention kind of each layer over tokens.
        attention: kind → its options.
        segment_layers: blocks over the segments of each level.
        dropout: probability of dropping a feature of what blocks add.
        batch_norm: normalise posterior means over the batch.
        initial_log_variance: of the posteriors at the start.
    """

    def __init__(
        self,
        d_model: int,
        levels: Sequence[Level],
        *,
        n_heads: int,
        d_hidden: int,
        pattern: Sequence[str] = ("sliding_window",),
        attention: Mapping[str, Mapping[str, Any]] | None = None,
        segment_layers: int = 1,
        dropout: float = 0.0,
        batch_norm: bool = False,
        initial_log_variance: float = -4.0,
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.rotary = Rotary(d_model // n_heads)
        options = attention or {}
        self.blocks = _blocks(d_model, n_heads, d_hidden, dropout, [(kind, options.get(kind, {})) for kind in pattern])
        self.poolings, self.segment_blocks = nn.ModuleDict(), nn.ModuleDict()
        below = 1
        for level in reversed(self.levels):
            if level.tokens is None:
                self.poolings[level.name] = AttentionPooling(d_model)
                continue
            self.poolings[level.name] = OrderedPooling(d_model, level.tokens // below)
            whole: list[tuple[str, dict[str, Any]]] = [("full", {})] * segment_layers
            self.segment_blocks[level.name] = _blocks(d_model, n_heads, d_model, dropout, whole)
            below = level.tokens
        self.heads = nn.ModuleDict(
            {
                level.name: PosteriorHead(
                    d_model, level.size, batch_norm=batch_norm, initial_log_variance=initial_log_variance
                )
                for level in self.levels
            }
        )

    def forward(self, x: Tensor, elapsed_steps: Tensor, real: Tensor) -> dict[str, Posterior]:
        """Posteriors of every level, coarse to fine.

        Args:
            x: (B, T, d_model), embedded ids.
            elapsed_steps: (B, T), time after each of them.
            real: (B, T), which of them are not padding.
        """
        x = self._through(self.blocks, x, elapsed_steps, real)
        found: dict[str, Posterior] = {}
        for level in reversed(self.levels):
            pooling = self.poolings[level.name]
            if level.tokens is None:
                x, real = pooling(normalised(x), real), real.any(1, keepdim=True)
            else:
                x, real = pooling(normalised(x), real)
                begin = elapsed_steps[:, :: level.tokens]
                x = self._through(self.segment_blocks[level.name], x, begin, real)
            found[level.name] = self.heads[level.name](normalised(x), real)
        return {level.name: found[level.name] for level in self.levels}

    def _through(self, blocks: nn.Module, x: Tensor, elapsed_steps: Tensor, real: Tensor) -> Tensor:
        turns = self.rotary(torch.arange(x.shape[1], device=x.device), elapsed_steps)
        for block in blocks.children():
            x = block(x, turns, None, real)
        return x


def _blocks(
    d_model: int, n_heads: int, d_hidden: int, dropout: float, kinds: Sequence[tuple[str, Mapping[str, Any]]]
) -> nn.ModuleList:
    blocks = []
    for kind, options in kinds:
        mixing = SelfAttention(d_model, n_heads, ATTENTION.build(kind, d_model, n_heads, False, **options))
        blocks.append(Block(mixing, FeedForward(d_model, d_hidden), dropout=dropout))
    initialise(blocks)
    return nn.ModuleList(blocks)

"""The stack of causal blocks."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from aurl.model.attention import ATTENTION, LayerCache
from aurl.model.layers import Block, FeedForward, SelfAttention, initialise, normalised
from aurl.model.rotary import Rotary


class Decoder(nn.Module):
    """Causal blocks whose attention kinds follow `pattern`, from the first layer on and over again.

    Args:
        d_model: width of the residual stream.
        n_layers: number of blocks.
        n_heads: heads of each attention.
        d_hidden: inner width of the feed-forward layers.
        dropout: probability of dropping a feature of what blocks add.
        pattern: attention kinds, cycled over the layers.
        attention: kind → its options.
        checkpointing: recompute each block's inside in the backward pass instead of keeping it.
        stream_size: width of what latents say at each position; 0: there are none.
    """

    def __init__(
        self,
        d_model: int,
        *,
        n_layers: int,
        n_heads: int,
        d_hidden: int,
        dropout: float = 0.0,
        pattern: Sequence[str] = ("full",),
        attention: Mapping[str, Mapping[str, Any]] | None = None,
        checkpointing: bool = False,
        stream_size: int = 0,
    ) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        self.rotary = Rotary(d_model // n_heads)
        blocks = []
        for layer in range(n_layers):
            name = pattern[layer % len(pattern)]
            kind = ATTENTION.build(name, d_model, n_heads, True, **(attention or {}).get(name, {}))
            mixing = SelfAttention(d_model, n_heads, kind)
            blocks.append(Block(mixing, FeedForward(d_model, d_hidden), dropout=dropout))
        initialise(blocks)
        self.blocks = nn.ModuleList(blocks)
        self.hearing = _hearing(stream_size, d_model, n_layers + 1 if stream_size else 0)

    def new_caches(self, batch: int, capacity: int) -> list[LayerCache]:
        """One empty cache per layer, for `batch` rows of at most `capacity` tokens."""
        return [block.attention.new_cache(batch, capacity) for block in self.layers()]

    def layers(self) -> list[Block]:
        """The blocks, first to last."""
        return cast("list[Block]", list(self.blocks))

    def forward(
        self,
        x: Tensor,
        index: Tensor,
        elapsed_steps: Tensor,
        caches: Sequence[LayerCache] | None = None,
        stream: Tensor | None = None,
    ) -> Tensor:
        """`(B, T, d_model)` at token indices `(T,)` and times `(B, T)` → normalised features of the same shape.

        `stream` `(B, T, stream_size)` is what latents say at each position: every block hears it anew (in-attention; Wu
        & Yang, MuseMorphose, 2023), and so does the output (skip connection; Dieng et al., AISTATS 2019).
        """
        turns = self.rotary(index, elapsed_steps)
        for layer, block in enumerate(self.layers()):
            if stream is not None:
                x = x + self.hearing[layer](stream)
            if self.checkpointing and self.training:
                x = checkpoint(block, x, turns, use_reentrant=False)
            else:
                x = block(x, turns, caches[layer] if caches is not None else None)
        return normalised(x if stream is None else x + self.hearing[-1](stream))


def _hearing(stream_size: int, d_model: int, count: int) -> nn.ModuleList:
    """Projections that say nothing at first: at full scale they drown the embedding, which is then learned late."""
    layers = [nn.Linear(stream_size, d_model, bias=False) for _ in range(count)]
    for layer in layers:
        nn.init.zeros_(layer.weight)
    return nn.ModuleList(layers)

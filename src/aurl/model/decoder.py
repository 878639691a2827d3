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

    def new_caches(self, batch: int, capacity: int) -> list[LayerCache]:
        """One empty cache per layer, for `batch` rows of at most `capacity` tokens."""
        return [block.attention.new_cache(batch, capacity) for block in self.layers()]

    def layers(self) -> list[Block]:
        """The blocks, first to last."""
        return cast("list[Block]", list(self.blocks))

    def forward(
        self, x: Tensor, index: Tensor, elapsed_steps: Tensor, caches: Sequence[LayerCache] | None = None
    ) -> Tensor:
        """`(B, T, d_model)` at token indices `(T,)` and times `(B, T)` → normalised features of the same shape."""
        turns = self.rotary(index, elapsed_steps)
        for layer, block in enumerate(self.layers()):
            if self.checkpointing and self.training:
                x = checkpoint(block, x, turns, use_reentrant=False)
            else:
                x = block(x, turns, caches[layer] if caches is not None else None)
        return normalised(x)

"""One token of generation: the decoder's arithmetic with as few operations as it takes.

At batch 1 the products with the weights are most of what a small decoder costs, and every other operation counts. So
the weights are packed, tables are computed beforehand, scaling is part of the rotation, and nothing is copied but the
new key and value.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from aurl.model.attention import LayerCache
from aurl.model.decoder import Decoder
from aurl.model.embedding import MusicEmbedding, Tables
from aurl.model.layers import Block, normalised
from aurl.model.packing import PackedLinear, fixed_linear

Product = Callable[[Tensor], Tensor]


def _fixed(layer: nn.Module) -> Product:
    if isinstance(layer, PackedLinear):
        return layer.forward
    return _forward(fixed_linear(layer.weight.detach()))  # type: ignore[operator]


def _forward(product: Product) -> Product:
    """Without the hooks around a module's call, which cost as much as a small operation."""
    return product.forward if isinstance(product, PackedLinear) else product


class BlockProducts(NamedTuple):
    """Multiplications with the weights of one block."""

    qkv: Product
    out: Product
    up: Product
    down: Product

    @classmethod
    def of(cls, block: Block) -> "BlockProducts":
        """Those of `block`, as they are now."""
        attention, feed_forward = block.attention, block.feed_forward
        return cls(*map(_fixed, (attention.qkv, attention.out, feed_forward.up, feed_forward.down)))


class Step:
    """A decoder with its embedding, frozen as they are when this is made.

    Args:
        embedding: ids and times → features.
        decoder: blocks and rotary positions.
    """

    @torch.no_grad()
    def __init__(self, embedding: MusicEmbedding, decoder: Decoder) -> None:
        blocks = decoder.layers()
        self._blocks = [BlockProducts.of(block) for block in blocks]
        self._embed = embedding.forward
        with torch.autocast(embedding.ids.device.type, enabled=False):
            self._tables: Tables = embedding.tables()
        self._logits = _forward(fixed_linear(self._tables.ids))
        self._turns = decoder.rotary.forward
        self._n_heads = blocks[0].attention.n_heads
        self._hearing = [_fixed(layer) for layer in decoder.hearing]

    def __call__(
        self,
        ids: Tensor,
        index: int,
        elapsed_steps: Tensor,
        caches: Sequence[LayerCache],
        heard: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Logits `(B, V)` after `ids` `(B,)`, the tokens of that index, which end at `elapsed_steps` `(B,)`.

        `heard` is what each block and the output hear of latents there, see `hear`.
        """
        x = self._embed(ids, elapsed_steps, self._tables)
        turns = self._turns(torch.full((1,), index, device=ids.device), elapsed_steps[:, None])  # (B, 1, 1, D / 2)
        turns = torch.cat([turns * (2 * turns.shape[-1]) ** -0.5, turns], dim=1)  # of queries, scaled; of keys
        for layer, (block, cache) in enumerate(zip(self._blocks, caches, strict=True)):
            x = self._through(block, x if heard is None else x + heard[layer], turns, cache)
        return self._logits(normalised(x if heard is None else x + heard[-1]))

    def hear(self, stream: Tensor) -> Tensor:
        """`(T, blocks + 1, B, d_model)`: what each block, and then the output, hears of `stream` `(B, T, size)`."""
        return torch.stack([product(stream) for product in self._hearing]).permute(2, 0, 1, 3).contiguous()

    def _through(self, block: BlockProducts, x: Tensor, turns: Tensor, cache: LayerCache) -> Tensor:
        qkv = block.qkv(normalised(x)).view(x.shape[0], 3, self._n_heads, -1)
        torch.view_as_complex(qkv.view(*qkv.shape[:3], -1, 2)).narrow(1, 0, 2).mul_(turns)
        x = x + block.out(cache.step(*qkv.unbind(1)).view_as(x))
        return x + block.down(block.up(normalised(x)).relu_().square_())

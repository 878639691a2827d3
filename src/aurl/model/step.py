"""One token of generation: the decoder's arithmetic with as few operations as it takes.

At batch 1 the products with the weights are most of what a small decoder costs, and every other operation counts. So
the weights are packed, tables are computed beforehand, scaling is part of the rotation, and nothing is copied but the
new key and value.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from aurl.model.attention import LayerCache
from aurl.model.decoder import Decoder
from aurl.model.embedding import ELAPSED_BEATS, PHASE_CYCLE_STEPS, MusicEmbedding, Tables
from aurl.model.layers import Block
from aurl.model.packing import PackedLinear, packed_product
from aurl.model.rotary import Rotary
from aurl.tokens.vocabulary import STEPS_PER_BEAT

Product = Callable[[Tensor], Tensor]


def _fixed(layer: nn.Module) -> Product:
    """Without the hooks around a module's call, which cost as much as a small operation."""
    if isinstance(layer, PackedLinear):
        return layer.multiply
    return _plain_product(layer.weight.detach())  # type: ignore[operator]


def _plain_product(weight: Tensor) -> Product:
    return partial(linear, weight=weight)


def _normalised(x: Tensor) -> Tensor:
    """As `aurl.model.layers.normalised`, without its wrapper in Python."""
    return torch.layer_norm(x, x.shape[-1:])


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


class Turns:
    """What `Rotary` says of one token of each row, for queries and for keys.

    Args:
        rotary: of the decoder.
    """

    def __init__(self, rotary: Rotary) -> None:
        self._periods, self._rates = rotary.periods, rotary.rates
        self._frequencies = rotary.frequencies
        d_head = 2 * (len(self._periods) + len(self._frequencies))
        self._lengths = self._rates.new_tensor([[d_head**-0.5], [1.0]])  # queries are scaled, keys are not

    def __call__(self, index: int, elapsed_steps: Tensor) -> Tensor:
        """`(B, 2, 1, D / 2)` complex, at a token's index and its times `(B,)`."""
        by_time = (elapsed_steps[:, None] % self._periods) * self._rates
        by_index = (self._frequencies * index).expand(len(elapsed_steps), -1)
        angles = torch.cat([by_time, by_index], dim=1)[:, None]
        return torch.polar(self._lengths, angles)[:, :, None]


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
        with torch.autocast(embedding.ids.device.type, enabled=False):
            self._tables: Tables = embedding.tables()
        is_packed = isinstance(blocks[0].attention.qkv, PackedLinear)
        self._logits = (packed_product if is_packed else _plain_product)(self._tables.ids)
        self._turns = Turns(decoder.rotary)
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
        x = self._embed(ids, elapsed_steps)
        turns = self._turns(index, elapsed_steps)
        for layer, (block, cache) in enumerate(zip(self._blocks, caches, strict=True)):
            x = self._through(block, x if heard is None else x + heard[layer], turns, cache)
        return self._logits(_normalised(x if heard is None else x + heard[-1]))

    def hear(self, stream: Tensor) -> Tensor:
        """`(T, blocks + 1, B, d_model)`: what each block, and then the output, hears of `stream` `(B, T, size)`."""
        return torch.stack([product(stream) for product in self._hearing]).permute(2, 0, 1, 3).contiguous()

    def _embed(self, ids: Tensor, elapsed_steps: Tensor) -> Tensor:
        """As the embedding's own forward, whose lookups take twice as long."""
        beat = (elapsed_steps // STEPS_PER_BEAT).clamp_(max=ELAPSED_BEATS - 1)
        x = self._tables.ids.index_select(0, ids)
        x += self._tables.phase.index_select(0, elapsed_steps % PHASE_CYCLE_STEPS)
        x += self._tables.elapsed.index_select(0, beat)
        return _normalised(x)

    def _through(self, block: BlockProducts, x: Tensor, turns: Tensor, cache: LayerCache) -> Tensor:
        qkv = block.qkv(_normalised(x)).view(x.shape[0], 3, self._n_heads, -1)
        torch.view_as_complex(qkv.view(*qkv.shape[:3], -1, 2)).narrow(1, 0, 2).mul_(turns)
        x = x + block.out(cache.step(*qkv.unbind(1)).view_as(x))
        return x + block.down(block.up(_normalised(x)).relu_().square_())

"""The one model class."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear

from aurl.errors import UsageError
from aurl.model.cache import Cache
from aurl.model.decoder import Decoder
from aurl.model.embedding import MusicEmbedding
from aurl.model.layers import normalised
from aurl.model.packing import fixed_linear


class MusicTransformerVAEGAN(nn.Module):
    """A causal decoder of musical events; in `transformer` mode nothing else.

    Padding is allowed at the end only: causal attention then keeps it out of every real position, so no padding mask
    is needed, and the loss ignores what padded positions predict.

    Args:
        vocabulary_size: ids known, `Codec.vocabulary_size`.
        d_model: width of the residual stream, a multiple of `n_heads`.
        n_layers: number of blocks.
        n_heads: heads of each attention; `d_model / n_heads` must be even.
        ff_multiplier: parameters of a feed-forward layer in multiples of two `d_model` × `d_model` matrices.
        dropout: probability, 0…1.
        pattern: attention kinds, cycled over the layers.
        attention: kind → its options.
        checkpointing: trade time for memory in training.
    """

    def __init__(
        self,
        vocabulary_size: int,
        d_model: int,
        *,
        n_layers: int,
        n_heads: int,
        ff_multiplier: float = 4.0,
        dropout: float = 0.0,
        pattern: Sequence[str] = ("full",),
        attention: Mapping[str, Mapping[str, Any]] | None = None,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if d_model % (2 * n_heads):
            raise UsageError(f"d_model {d_model} is no multiple of 2 × n_heads ({n_heads})")
        self.vocabulary_size = vocabulary_size
        self.dropout = dropout
        self.embedding = MusicEmbedding(vocabulary_size, d_model)
        self.decoder = Decoder(
            d_model,
            n_layers=n_layers,
            n_heads=n_heads,
            d_hidden=swiglu_width(d_model, ff_multiplier),
            dropout=dropout,
            pattern=pattern,
            attention=attention,
            checkpointing=checkpointing,
        )

    def forward(self, ids: Tensor, *, start_steps: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Logits `(B, T, V)` of the next id after each of `ids` `(B, T)`.

        Args:
            ids: int64; with a cache only the new ones.
            start_steps: `(B,)` time before the first id, in steps; 0 where None. A cache goes on from its own time.
            cache: from `new_cache`; takes up the ids.

        Raises:
            ValueError: the cache has no room left.
        """
        elapsed_steps = self._elapsed_steps(ids, start_steps, cache)
        begin = 0 if cache is None else cache.length
        index = torch.arange(begin, begin + ids.shape[1], device=ids.device)
        tables = self.embedding.tables() if cache is None else cache.tables
        x = normalised(self.embedding(ids, elapsed_steps, tables))
        x = dropout(x, self.dropout, self.training)
        if cache is not None:
            cache.advance(elapsed_steps)
        features = self.decoder(x, index, elapsed_steps, None if cache is None else cache.layers)
        return linear(features, tables.ids) if cache is None else cache.head(features)

    def _elapsed_steps(self, ids: Tensor, start_steps: Tensor | None, cache: Cache | None) -> Tensor:
        if cache is not None and cache.elapsed_steps is not None:
            start_steps = cache.elapsed_steps
        elif start_steps is None:
            start_steps = ids.new_zeros(ids.shape[0])
        return self.embedding.elapsed_steps(ids, start_steps)

    def new_cache(self, batch: int, capacity: int) -> Cache:
        """An empty cache for `batch` rows of at most `capacity` tokens, of the model's type and device.

        It holds what can be computed from the weights beforehand, so it is of no use once they have changed.
        """
        with torch.no_grad():
            tables = self.embedding.tables()
        return Cache(self.decoder.new_caches(batch, capacity), capacity, tables=tables, head=fixed_linear(tables.ids))


def swiglu_width(d_model: int, ff_multiplier: float) -> int:
    """Inner width of SwiGLU with the parameters of a plain layer `ff_multiplier` times as wide; a multiple of 32."""
    return max(32, round(d_model * ff_multiplier * 2 / 3 / 32) * 32)

"""The one model class."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear

from aurl.errors import UsageError
from aurl.model.attention import LayerCache
from aurl.model.cache import Cache
from aurl.model.decoder import Decoder
from aurl.model.embedding import MusicEmbedding
from aurl.model.step import Step


class MusicTransformerVAEGAN(nn.Module):
    """A causal decoder of musical events; in `transformer` mode nothing else.

    Padding is allowed at the end only: causal attention then keeps it out of every real position, so no padding mask
    is needed, and the loss ignores what padded positions predict.

    Args:
        vocabulary_size: ids known, `Codec.vocabulary_size`.
        d_model: width of the residual stream, a multiple of `n_heads`.
        n_layers: number of blocks.
        n_heads: heads of each attention; `d_model / n_heads` must be even.
        ff_multiplier: inner width of the feed-forward layers in multiples of `d_model`.
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
            d_hidden=max(1, round(d_model * ff_multiplier)),
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
            cache: from `new_cache`; takes up the ids. Without gradients, and in the weights' own precision.

        Raises:
            ValueError: the cache has no room left.
        """
        if cache is not None:
            return self._continue(ids, start_steps, cache)
        return self._whole(ids, self._elapsed_steps(ids, start_steps), 0, None)

    def _whole(self, ids: Tensor, elapsed_steps: Tensor, begin: int, caches: list[LayerCache] | None) -> Tensor:
        index = torch.arange(begin, begin + ids.shape[1], device=ids.device)
        tables = self.embedding.tables()
        x = dropout(self.embedding(ids, elapsed_steps, tables), self.dropout, self.training)
        return linear(self.decoder(x, index, elapsed_steps, caches), tables.ids)

    @torch.no_grad()
    def _continue(self, ids: Tensor, start_steps: Tensor | None, cache: Cache) -> Tensor:
        known = start_steps if cache.elapsed_steps is None else cache.elapsed_steps
        elapsed_steps, begin = self._elapsed_steps(ids, known), cache.length
        cache.advance(elapsed_steps)
        kind = ids.device.type
        with torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext():
            if ids.shape[1] == 1:
                return cache.step(ids[:, 0], begin, elapsed_steps[:, 0], cache.layers)[:, None]
            return self._whole(ids, elapsed_steps, begin, cache.layers)

    def _elapsed_steps(self, ids: Tensor, start_steps: Tensor | None) -> Tensor:
        return self.embedding.elapsed_steps(ids, ids.new_zeros(ids.shape[0]) if start_steps is None else start_steps)

    def new_cache(self, batch: int, capacity: int) -> Cache:
        """An empty cache for `batch` rows of at most `capacity` tokens, of the model's type and device.

        It holds what can be computed from the weights beforehand, so it is of no use once they have changed.
        """
        return Cache(self.decoder.new_caches(batch, capacity), Step(self.embedding, self.decoder), capacity)

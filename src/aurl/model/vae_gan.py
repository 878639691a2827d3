"""The one model class."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import dropout, linear

from aurl.errors import UsageError
from aurl.model.cache import Cache
from aurl.model.decoder import Decoder
from aurl.model.elapsed import Clock
from aurl.model.embedding import MusicEmbedding, Tables
from aurl.model.latents import Latents, Level, Posterior
from aurl.model.latents.parts import LatentParts, Reconstruction
from aurl.model.prior.conditions import conditions_of
from aurl.model.step import Step
from aurl.tokens.vocabulary import MASK, PAD


class MusicTransformerVAEGAN(nn.Module):
    """A causal decoder of musical events; in modes `vae` and `vae_gan` latents steer it, and an encoder finds them.

    Padding is allowed at the end only: causal attention then keeps it out of every real position, so no padding mask
    is needed, and the loss ignores what padded positions predict. The discriminator of `vae_gan` is a module of its
    own: it is not needed once training has ended.

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
        latents: what makes and reads latents; None: mode `transformer`.

    Attributes:
        word_dropout: share of inputs that the decoder does not see in training.
        level_dropout: share of windows in training whose lower levels it does not hear.
        conditions: what the prior of global latents is told, such as "key" or "style".
        styles: names of the styles that it can be told, by number.
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
        latents: LatentParts | None = None,
    ) -> None:
        super().__init__()
        if d_model % (2 * n_heads):
            raise UsageError(f"d_model {d_model} is no multiple of 2 × n_heads ({n_heads})")
        self.vocabulary_size = vocabulary_size
        self.dropout = dropout
        self.word_dropout = self.level_dropout = 0.0
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
            stream_size=latents.stream.size if latents else 0,
        )
        self.encoder = latents.encoder if latents else None
        self.latent_stream = latents.stream if latents else None
        self.prior = latents.prior if latents else None
        self.bags = latents.bags if latents else None
        self.echo = latents.echo if latents else None
        self.conditions = latents.conditions if latents else ()
        self.styles = latents.styles if latents else ()

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels of the latents, coarse to fine; none in mode `transformer`."""
        return () if self.encoder is None else self.encoder.levels

    @overload
    def forward(
        self,
        ids: Tensor,
        *,
        start_steps: Tensor | None = None,
        cache: Cache | None = None,
        stream: Tensor | None = None,
    ) -> Tensor: ...

    @overload
    def forward(
        self, ids: Tensor, *, start_steps: Tensor | None = None, following: Tensor, style: Tensor | None = None
    ) -> Reconstruction: ...

    def forward(
        self,
        ids: Tensor,
        *,
        start_steps: Tensor | None = None,
        cache: Cache | None = None,
        stream: Tensor | None = None,
        following: Tensor | None = None,
        style: Tensor | None = None,
    ) -> Tensor | Reconstruction:
        """Logits `(B, T, V)` of the next id after each of `ids` `(B, T)`, and with `following` all about their latents.

        Args:
            ids: int64; with a cache only the new ones.
            start_steps: `(B,)` time before the first id, in steps; 0 where None. A cache goes on from its own time.
            cache: from `new_cache`; takes up the ids. Without gradients, and in the weights' own precision.
            stream: (B, T, size) what latents say at these ids, from `stream`; a cache has its own.
            following: (B, T) the id after each of `ids`, PAD where there is none: what the latents are made of.
            style: (B,) place in `styles`, -1 unknown; the prior is told, beside `following`. None: all unknown.

        Raises:
            ValueError: the cache has no room left.
        """
        if cache is not None:
            return self._continue(ids, start_steps, cache)
        elapsed_steps, tables = self._elapsed_steps(ids, start_steps), self.embedding.tables()
        if following is not None:
            return self._reconstruct(ids, elapsed_steps, following, tables, style)
        return self._whole(ids, elapsed_steps, tables, stream=stream)

    def _whole(
        self,
        ids: Tensor,
        elapsed_steps: Tensor,
        tables: Tables,
        *,
        stream: Tensor | None = None,
        cache: Cache | None = None,
        begin: int = 0,
    ) -> Tensor:
        index = torch.arange(begin, begin + ids.shape[1], device=ids.device)
        x = dropout(self.embedding(ids, elapsed_steps, tables), self.dropout, self.training)
        x = self.decoder(x, index, elapsed_steps, None if cache is None else cache.layers, stream)
        return linear(x, tables.ids)

    @torch.no_grad()
    def _continue(self, ids: Tensor, start_steps: Tensor | None, cache: Cache) -> Tensor:
        elapsed_steps, begin = self._goes_on(ids, start_steps, cache), cache.length
        cache.advance(elapsed_steps)
        kind = ids.device.type
        with torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext():
            if ids.shape[1] == 1:
                return cache.step(ids[:, 0], begin, elapsed_steps[:, 0], cache.layers, cache.heard(begin))[:, None]
            told = cache.told(begin)
            return self._whole(ids, elapsed_steps, self.embedding.tables(), stream=told, cache=cache, begin=begin)

    def _elapsed_steps(self, ids: Tensor, start_steps: Tensor | None) -> Tensor:
        start = ids.new_zeros(ids.shape[0]) if start_steps is None else start_steps
        return self.embedding.times(ids, Clock.at(start))[0]

    def _goes_on(self, ids: Tensor, start_steps: Tensor | None, cache: Cache) -> Tensor:
        """The times of new ids behind those of a cache."""
        known = cache.elapsed_steps
        if known is None:
            known = ids.new_zeros(ids.shape[0]) if start_steps is None else start_steps
        if ids.shape[1] == 1:
            return known[:, None] + self.embedding.shift_steps.take(ids)
        clock = Clock.at(known) if cache.clock is None else cache.clock._replace(steps=known)
        elapsed_steps, cache.clock = self.embedding.times(ids, clock)
        return elapsed_steps

    def new_cache(self, batch: int, capacity: int, stream: Tensor | None = None) -> Cache:
        """An empty cache for `batch` rows of at most `capacity` tokens, of the model's type and device.

        It holds what can be computed from the weights beforehand, so it is of no use once they have changed.

        Args:
            batch: rows.
            capacity: most tokens of each.
            stream: (batch, capacity, size) what latents say at each of them; None without latents.
        """
        return Cache(self.decoder.new_caches(batch, capacity), Step(self.embedding, self.decoder), capacity, stream)

    def encode(self, following: Tensor, start_steps: Tensor | None = None) -> dict[str, Posterior]:
        """Level → posteriors of the latents of `following` `(B, T)`, padded with PAD, that begins at `start_steps`."""
        elapsed_steps = self._elapsed_steps(following, start_steps)
        return self._posteriors(following, elapsed_steps, self.embedding.tables())

    def encode_soft(self, one_hots: Tensor, real: Tensor, start_steps: Tensor | None = None) -> dict[str, Posterior]:
        """The same for ids given as `(B, T, V)` one-hots, with gradient to them; `real` `(B, T)` tells padding.

        The encoder listens, and must not learn to hear what pleases: its weights take no gradient from it, and its
        batch norm remembers nothing of it.
        """
        ids = one_hots.detach().argmax(-1).masked_fill(~real, PAD)
        elapsed_steps = self._elapsed_steps(ids, start_steps)
        tables = Tables(*(table.detach() for table in self.embedding.tables()))
        x = self.embedding.soft(one_hots, elapsed_steps, tables)
        encoder = self._parts().encoder
        state = {name: parameter.detach() for name, parameter in encoder.named_parameters()}
        state |= {name: buffer.clone() for name, buffer in encoder.named_buffers()}
        found: dict[str, Posterior] = functional_call(encoder, state, (x, elapsed_steps, real))
        return found

    def stream(self, latents: Latents, positions: Tensor) -> Tensor:
        """`(B, T, size)`: what `latents` say at `positions` `(T,)`, counted from the first token that they are of."""
        told: Tensor = self._parts().stream(latents, positions)
        return told

    @property
    def latents(self) -> LatentParts | None:
        """What makes and reads latents; None in mode `transformer`."""
        if self.encoder is None:
            return None
        parts = self.encoder, self.latent_stream, self.prior, self.bags, self.echo
        return LatentParts(*parts, self.conditions, self.styles)  # type: ignore[arg-type]  # there are all of them, or none

    def _parts(self) -> LatentParts:
        parts = self.latents
        if parts is None:
            raise UsageError("a model of mode transformer has no latents", hint="train one with --profile vae")
        return parts

    def _posteriors(self, following: Tensor, elapsed_steps: Tensor, tables: Tables) -> dict[str, Posterior]:
        x = dropout(self.embedding(following, elapsed_steps, tables), self.dropout, self.training)
        found: dict[str, Posterior] = self._parts().encoder(x, elapsed_steps, following != PAD)
        return found

    def _reconstruct(
        self, ids: Tensor, elapsed_steps: Tensor, following: Tensor, tables: Tables, style: Tensor | None
    ) -> Reconstruction:
        parts = self._parts()
        after = self._elapsed_steps(following, elapsed_steps[:, 0])
        posteriors = self._posteriors(following, after, tables)
        latents = {name: posterior.z for name, posterior in posteriors.items()}
        heard = self._heard(ids)
        stream = parts.stream(latents, torch.arange(ids.shape[1], device=ids.device), heard)
        conditions = conditions_of(ids, parts.conditions, style) if parts.conditions else None
        kl = parts.prior.kl(posteriors, conditions)
        if heard is not None:
            kl = {name: nats * heard[name][:, None] for name, nats in kl.items()}
            posteriors = {name: q._replace(real=q.real & heard[name][:, None]) for name, q in posteriors.items()}
        logits = self._whole(self._hidden(ids), elapsed_steps, tables, stream=stream)
        return Reconstruction(logits, posteriors, kl, parts.bags(latents), parts.echo(stream))

    def _hidden(self, ids: Tensor) -> Tensor:
        """The ids, some of them hidden by MASK: what is missing can only be known from the latents.

        Word dropout (Bowman et al., CoNLL 2016) at a rate of its own for each row: most keep nearly all, some hardly
        any, so that both are learned, to read the past and to read the latents. All times stay, and so does the first
        id.
        """
        if not self.training or not self.word_dropout:
            return ids
        rate = torch.rand(ids.shape[0], 1, device=ids.device) ** (1 / self.word_dropout - 1)  # its mean is word_dropout
        hidden = torch.rand(ids.shape, device=ids.device) < rate
        hidden[:, 0] = False
        return ids.masked_fill(hidden, MASK)

    def _heard(self, ids: Tensor) -> dict[str, Tensor] | None:
        """Level → rows `(B,)` that hear it; None: all hear all.

        A row that does not hear a level hears none below it either, so that the upper ones must say what they can.
        """
        if not self.training or not self.level_dropout or len(self.levels) < 2:
            return None
        rows = ids.shape[0]
        partly = torch.rand(rows, device=ids.device) < self.level_dropout
        depth = torch.randint(1, len(self.levels), (rows,), device=ids.device)
        depth = torch.where(partly, depth, len(self.levels))
        return {level.name: depth > number for number, level in enumerate(self.levels)}

"""Where the latents of new pieces come from: a prompt, songs that they are to be like, and the prior for the rest."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from aurl.errors import UsageError
from aurl.generation.encoding import Encoding, encode
from aurl.generation.interpolation import between
from aurl.generation.latents import PieceLatents, largest_segment
from aurl.model.latents.levels import GLOBAL, Latents
from aurl.model.prior.conditions import UNKNOWN, conditions_of
from aurl.model.vae_gan import MusicTransformerVAEGAN


class LatentSource:
    """Seed → the latents of a piece.

    Segments that the prompt fills have the latents that are encoded in it. One that it only begins has not: the encoder
    would say that music ends there. Next comes what is encoded in the song, from its beginning, in the first segment
    that the prompt does not fill on every level. The prior goes on behind both, given the last global latent.

    Args:
        model: with latents, in evaluation mode.
        context: most ids that the model may see at once.
        prompt: ids that all pieces begin with, BOS first.
        like: ids of the song, BOS … EOS; None: there is none.
        toward: ids of another song: pieces may lie between the two, see `between`; None: there is none.
        keep: levels that are the song's; others are on the way to the other song or, without one, the prior's. Empty:
            none is kept on the way to another song, and all are without one.
        variation: how many deviations latents are away from what is encoded in the song, ≥ 0.
        temperature: factor of the prior's noise, ≥ 0.
        style: place in the model's `styles`, which the prior is told; -1: unknown.
        shift: level → (size,), added to all latents there; levels may be missing.

    Raises:
        UsageError: the model has no such level to keep.
    """

    def __init__(
        self,
        model: MusicTransformerVAEGAN,
        *,
        context: int,
        prompt: Sequence[int],
        like: Sequence[int] | None = None,
        toward: Sequence[int] | None = None,
        keep: Collection[str] = (),
        variation: float = 0.0,
        temperature: float = 1.0,
        style: int = UNKNOWN,
        shift: Latents | None = None,
    ) -> None:
        self._model, self._variation, self._temperature = model, variation, temperature
        self._keep, self._shift = _levels_named(model, keep), shift
        self._prompted = len(prompt) - 1  # what follows its last id is not known
        shortest = min((level.tokens for level in model.levels if level.tokens), default=1)
        self._prompt = encode(model, prompt, context=context) if self._prompted >= shortest else None
        self._like, self._toward = (
            None if song is None else encode(model, song, context=context) for song in (like, toward)
        )
        self._conditions = self._told(prompt if self._prompted or like is None else like, style)

    def __call__(self, seed: int, place: float = 0.0) -> PieceLatents:
        """The latents of the piece of this seed, at `place` (0 … 1) on the way to the other song."""
        given, begins = self._begun()
        song = self._song(place)
        if song is not None:
            given, begins = self._joined(given, begins, self._kept(song.draw(seed, self._variation)), song.begins)
        return PieceLatents(
            self._model,
            seed,
            given=given,
            begins=begins,
            temperature=self._temperature,
            conditions=self._conditions,
            shift=self._shift,
        )

    def _song(self, place: float) -> Encoding | None:
        if self._like is None or self._toward is None:
            return self._like
        return between(self._like, self._toward, place, keep=self._keep)

    def _kept(self, song: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the song lends: all, or the levels that are to be kept where nothing else takes the place of others."""
        if self._toward is not None or not self._keep:
            return song
        return {name: latents if name in self._keep else latents[:, :0] for name, latents in song.items()}

    def _told(self, ids: Sequence[int], style: int) -> Tensor | None:
        if not self._model.conditions:
            return None
        device = next(self._model.parameters()).device
        told = torch.tensor([style], device=device)
        return conditions_of(torch.tensor([list(ids)], device=device), self._model.conditions, told)

    def _begun(self) -> tuple[dict[str, Tensor], Sequence[int]]:
        """Latents of what the prompt fills, and from where on its global ones hold."""
        if self._prompt is None:
            return {}, [0]
        counts = {level.name: level.tokens and self._prompted // level.tokens for level in self._model.levels}
        return {name: mean[:, : counts[name]] for name, mean in self._prompt.mean.items()}, self._prompt.begins

    def _joined(
        self, begun: dict[str, Tensor], begins: Sequence[int], like: dict[str, Tensor], turns: Sequence[int]
    ) -> tuple[dict[str, Tensor], Sequence[int]]:
        """These latents, and then those of the song, whose first segments are the next ones."""
        segment = largest_segment(self._model.levels)
        start = self._prompted // segment * segment
        earlier = [begin for begin in begins if begin < start]
        joined: dict[str, Tensor] = {}
        for level in self._model.levels:
            have, song = begun.get(level.name, like[level.name][:, :0]), like[level.name]
            if not song.shape[1]:
                joined[level.name] = have
            elif level.tokens is None:
                joined[level.name] = torch.cat([have[:, : len(earlier)], song], 1)
            else:
                joined[level.name] = torch.cat([have, song[:, have.shape[1] - start // level.tokens :]], 1)
        return joined, [*earlier, *(start + turn for turn in turns)] if like[GLOBAL].shape[1] else begins


def _levels_named(model: MusicTransformerVAEGAN, names: Collection[str]) -> frozenset[str]:
    known = [level.name for level in model.levels]
    for name in names:
        if name not in known:
            raise UsageError(f"the model has no level {name!r} to keep", hint=f"known: {', '.join(known)}")
    return frozenset(names)

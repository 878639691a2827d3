"""Where the latents of new pieces come from: a prompt, a song that they are to be like, and the prior for the rest."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aurl.generation.encoding import encode
from aurl.generation.latents import PieceLatents, largest_segment
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
        variation: how many deviations latents are away from what is encoded in the song, ≥ 0.
        temperature: factor of the prior's noise, ≥ 0.
        style: place in the model's `styles`, which the prior is told; -1: unknown.
    """

    def __init__(
        self,
        model: MusicTransformerVAEGAN,
        *,
        context: int,
        prompt: Sequence[int],
        like: Sequence[int] | None = None,
        variation: float = 0.0,
        temperature: float = 1.0,
        style: int = UNKNOWN,
    ) -> None:
        self._model, self._variation, self._temperature = model, variation, temperature
        self._prompted = len(prompt) - 1  # what follows its last id is not known
        shortest = min((level.tokens for level in model.levels if level.tokens), default=1)
        self._prompt = encode(model, prompt, context=context) if self._prompted >= shortest else None
        self._like = None if like is None else encode(model, like, context=context)
        self._conditions = self._told(prompt if self._prompted or like is None else like, style)

    def __call__(self, seed: int) -> PieceLatents:
        """The latents of the piece of this seed."""
        given, begins = self._begun()
        if self._like is not None:
            given, begins = self._joined(given, begins, self._like.draw(seed, self._variation), self._like.begins)
        return PieceLatents(
            self._model,
            seed,
            given=given,
            begins=begins,
            temperature=self._temperature,
            conditions=self._conditions,
        )

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
        joined = {}
        for level in self._model.levels:
            have, song = begun.get(level.name, like[level.name][:, :0]), like[level.name]
            if level.tokens is None:
                joined[level.name] = torch.cat([have[:, : len(earlier)], song], 1)
            else:
                joined[level.name] = torch.cat([have, song[:, have.shape[1] - start // level.tokens :]], 1)
        return joined, [*earlier, *(start + turn for turn in turns)]

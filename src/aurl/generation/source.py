"""Where the latents of new pieces come from: a prompt, a song that they are to be like, and the prior for the rest."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aurl.generation.encoding import Encoding, encode
from aurl.generation.latents import PieceLatents, largest_segment
from aurl.model.latents import Level
from aurl.model.prior.conditions import conditions_of
from aurl.model.vae_gan import MusicTransformerVAEGAN


class LatentSource:
    """Seed → the latents of a piece.

    Segments that the prompt fills have the latents that are encoded in it. One that it only begins has not: the encoder
    would say that music ends there. What the song has encoded comes next, from its beginning, in the first segment that
    the prompt does not fill on every level; the global latent is the song's. The prior goes on behind both.

    Args:
        model: with latents, in evaluation mode.
        context: most ids that the model may see at once.
        prompt: ids that all pieces begin with, BOS first.
        like: ids of the song, BOS … EOS; None: there is none.
        variation: how many deviations latents are away from what is encoded in the song, ≥ 0.
        temperature: factor of the prior's noise, ≥ 0.
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
    ) -> None:
        self._model, self._variation, self._temperature = model, variation, temperature
        self._prompted = len(prompt) - 1  # what follows its last id is not known
        shortest = min((level.tokens for level in model.levels if level.tokens), default=1)
        self._prompt = encode(model, prompt, context=context) if self._prompted >= shortest else None
        self._like = None if like is None else encode(model, like, context=context)
        self._conditions = self._known(prompt if self._prompted or like is None else like)

    def __call__(self, seed: int) -> PieceLatents:
        """The latents of the piece of this seed."""
        given = {} if self._prompt is None else self._filled(self._prompt)
        if self._like is not None:
            given = self._joined(given, self._like.draw(seed, self._variation))
        return PieceLatents(self._model, seed, given=given, temperature=self._temperature, conditions=self._conditions)

    def _known(self, ids: Sequence[int]) -> Tensor | None:
        if not self._model.conditions:
            return None
        device = next(self._model.parameters()).device
        return conditions_of(torch.tensor([list(ids)], device=device), self._model.conditions)

    def _filled(self, prompt: Encoding) -> dict[str, Tensor]:
        return {level.name: prompt.mean[level.name][:, : _full(level, self._prompted)] for level in self._model.levels}

    def _joined(self, begun: dict[str, Tensor], like: dict[str, Tensor]) -> dict[str, Tensor]:
        """Latents of the prompt, if any, and then those of the song, whose first segments are the prompt's next."""
        segment = largest_segment(self._model.levels)
        begin = self._prompted // segment * segment
        joined = {}
        for level in self._model.levels:
            have = begun.get(level.name)
            if have is None or level.tokens is None:
                joined[level.name] = like[level.name]
            else:
                joined[level.name] = torch.cat([have, like[level.name][:, have.shape[1] - begin // level.tokens :]], 1)
        return joined


def _full(level: Level, tokens: int) -> int:
    """How many of the level's latents are given by so many tokens of a beginning."""
    return 1 if level.tokens is None else tokens // level.tokens

"""Classifier-free guidance: away from what the model would write if it had not been told what was asked.

J. Ho & T. Salimans, "Classifier-Free Diffusion Guidance", 2022; for language models G. Sanchez et al., "Stay on Topic
with Classifier-Free Guidance", 2023.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from aurl.generation.context import Context
from aurl.generation.latents import PieceLatents
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.tokens.vocabulary import GROUPS, MASK


@dataclass(frozen=True)
class Guidance:
    """How strongly pieces are drawn to what was asked.

    Args:
        scale: 1 is the model as it is, 0 does not listen, more than 1 exaggerates.
        groups: names of the ids that were asked for.
    """

    scale: float
    groups: tuple[str, ...]

    @property
    def counts(self) -> bool:
        """It changes anything."""
        return self.scale != 1 and bool(self.groups)

    def untold(self, ids: Iterable[int]) -> list[int]:
        """Ids without what was asked for: MASK in its place, as training shows what is not told."""
        hidden = [GROUPS[name] for name in self.groups]
        return [MASK if any(group.start <= chosen < group.stop for group in hidden) else chosen for chosen in ids]


class GuidedContext:
    """Two contexts of the same pieces, of which one is not told what was asked; see `Context`.

    Args:
        told: as the pieces are.
        untold: with the prompts that `guidance.untold` makes.
        guidance: how their logits are mixed.
    """

    def __init__(self, told: Context, untold: Context, guidance: Guidance) -> None:
        self._told, self._untold, self._guidance = told, untold, guidance

    @property
    def begins(self) -> list[int]:
        """As in `Context`."""
        return self._told.begins

    def read(self) -> Tensor:
        """Logits (B, V) of the ids to come."""
        return self._mixed(self._told.read(), self._untold.read())

    def step(self, ids: Sequence[int]) -> Tensor:
        """Take one new id of each piece; logits (B, V) of the ids to come."""
        return self._mixed(self._told.step(ids), self._untold.step(self._guidance.untold(ids)))

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these pieces only, in this order."""
        self._told.keep(rows)
        self._untold.keep(rows)

    def _mixed(self, told: Tensor, untold: Tensor) -> Tensor:
        return untold + self._guidance.scale * (told - untold)


def new_context(
    model: MusicTransformerVAEGAN,
    prompt: Sequence[int],
    guidance: Guidance | None,
    *,
    context: int,
    batch: int,
    device: torch.device,
    latents: Sequence[PieceLatents],
) -> Context | GuidedContext:
    """The context of pieces that begin with `prompt`, or the two of them where guidance counts; see `Context`."""
    told = partial(Context, model, context=context, batch=batch, device=device, latents=latents)
    if guidance is None or not guidance.counts:
        return told(prompt=prompt)
    return GuidedContext(told(prompt=prompt), told(prompt=guidance.untold(prompt)), guidance)

"""The discriminator: several views of the same music, each with a score of its own."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from aurl.model.discriminator.course import CourseView
from aurl.model.discriminator.features import segmented
from aurl.model.discriminator.music import MusicView
from aurl.model.discriminator.windows import WindowView, embedded

LAST_STAGE = 3
MUSIC, LATENT = "music", "latent"


class View(NamedTuple):
    """What one part says.

    Args:
        name: "scale_32", …, "music", "latent".
        score: (B, 1) float32, higher for what sounds real.
        features: what its layers hear, first to last, 0 where nothing is real; the same shapes for music and fakes.
    """

    name: str
    score: Tensor
    features: tuple[Tensor, ...]


class Input(NamedTuple):
    """What the first layer of a part takes: beyond it all is learned, before it nothing is.

    Args:
        name: of the part.
        x: (B, n, size) embedded ids, musical features of segments, or local latents.
        real: (B, n) bool, False where there is padding.
    """

    name: str
    x: Tensor
    real: Tensor


class Discriminator(nn.Module):
    """Hears windows of several lengths, musical features, and the course of local latents.

    Every linear layer has spectral norm 1, and rows of a batch never meet.

    Args:
        d_embedding: width of the generator's id table.
        scales: ids in the windows of each scale, even numbers.
        d_model: width of each part.
        n_layers: convolutions of each part.
        musical_features: whether a part hears rhythm, harmony, melody and dynamics.
        latent_size: dimensions of local latents; 0 for no part that hears them.
    """

    def __init__(
        self,
        d_embedding: int,
        *,
        scales: Sequence[int] = (32, 128, 256),
        d_model: int = 64,
        n_layers: int = 3,
        musical_features: bool = True,
        latent_size: int = 0,
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleDict(
            {
                f"scale_{scale}": WindowView(d_embedding, scale=scale, d_model=d_model, n_layers=n_layers)
                for scale in scales
            }
        )
        self.music = MusicView(d_model=d_model, n_layers=n_layers) if musical_features else None
        self.latent = CourseView(latent_size, d_model=d_model, n_layers=n_layers) if latent_size else None

    def forward(
        self,
        one_hots: Tensor,
        table: Tensor,
        *,
        real: Tensor,
        locals_: Tensor | None = None,
        locals_real: Tensor | None = None,
        stage: int = LAST_STAGE,
    ) -> list[View]:
        """What each part that is heard says.

        Args:
            one_hots: (B, T, V) float, which get a gradient; or ids (B, T), the same at less cost for real music.
            table: (V, d_embedding), the generator's; never trained from here.
            real: (B, T) bool, False where there is padding.
            locals_: (B, n, latent_size) local latents; without them their part is silent.
            locals_real: (B, n) bool, False for latents of padding; None: all are real.
            stage: 1: the first scale only; 2: the first two; from 3 on all scales, music and latents.
        """
        views = [View(name, *part(one_hots, table.detach(), real)) for name, part in self._scales(stage)]
        if stage < LAST_STAGE:
            return views
        if self.music is not None:
            views.append(View(MUSIC, *self.music(one_hots, real)))
        if self.latent is not None and locals_ is not None:
            views.append(View(LATENT, *self.latent(locals_, _all_real(locals_, locals_real))))
        return views

    @torch.no_grad()
    def inputs(
        self,
        ids: Tensor,
        table: Tensor,
        *,
        real: Tensor,
        locals_: Tensor | None = None,
        locals_real: Tensor | None = None,
        stage: int = LAST_STAGE,
    ) -> list[Input]:
        """What each part that is heard takes, without gradient; as for `forward`."""
        inputs = [Input(name, embedded(ids, table), real) for name, _ in self._scales(stage)]
        if stage < LAST_STAGE:
            return inputs
        if self.music is not None:
            inputs.append(Input(MUSIC, self.music.features(ids, real), segmented(real).any(2)))
        if self.latent is not None and locals_ is not None:
            inputs.append(Input(LATENT, locals_, _all_real(locals_, locals_real)))
        return inputs

    def scores(self, inputs: Sequence[Input]) -> list[Tensor]:
        """`(B, 1)` of each part, for its input."""
        return [self._part(one.name).hear(one.x, one.real)[0] for one in inputs]

    def _scales(self, stage: int) -> list[tuple[str, WindowView]]:
        scales = list(self.scales.items())[: None if stage >= LAST_STAGE else stage]
        return cast("list[tuple[str, WindowView]]", scales)

    def _part(self, name: str) -> WindowView | MusicView | CourseView:
        part = self.scales[name] if name in self.scales else getattr(self, name)
        return cast("WindowView | MusicView | CourseView", part)


def _all_real(locals_: Tensor, real: Tensor | None) -> Tensor:
    return torch.ones_like(locals_[..., 0], dtype=torch.bool) if real is None else real

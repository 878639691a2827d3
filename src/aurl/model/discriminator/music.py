"""Hears the course of musical features."""

import torch
from torch import Tensor, nn

from aurl.model.discriminator.course import CourseView
from aurl.model.discriminator.features import FEATURE_COUNT, FEATURES, musical_features, segmented
from aurl.model.discriminator.notes import meanings, read_notes
from aurl.tokens.vocabulary import VOCABULARY_SIZE

FEATURE_GAIN = 4.0
"""Features differ by tenths between good music and bad; layers of norm 1 cannot make more of that than it is."""


class MusicView(nn.Module):
    """Dilated convolutions over the musical features of segments.

    Args:
        d_model: width of the layers.
        n_layers: convolutions.
    """

    meanings: Tensor

    def __init__(self, *, d_model: int, n_layers: int) -> None:
        super().__init__()
        self.register_buffer("meanings", meanings(VOCABULARY_SIZE), persistent=False)
        self.course = CourseView(FEATURE_COUNT, d_model=d_model, n_layers=n_layers)

    def forward(self, tokens: Tensor, real: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Score `(B, 1)` and what each layer hears, `(B, segments, d_model)`, of ids or one-hots."""
        return self.hear(self.features(tokens, real), segmented(real).any(2))

    def features(self, tokens: Tensor, real: Tensor) -> Tensor:
        """`(B, segments, F)`: what it hears of ids or one-hots."""
        table = self.meanings[: tokens.shape[-1]] if tokens.is_floating_point() else self.meanings
        found = musical_features(read_notes(tokens, real, table))
        return FEATURE_GAIN * torch.cat([found[name] for name in FEATURES], -1)

    def hear(self, features: Tensor, real: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The same as for ids, for features of segments that are `real` `(B, segments)`."""
        heard: tuple[Tensor, tuple[Tensor, ...]] = self.course(features, real)
        return heard

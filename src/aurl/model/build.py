"""From a profile's sections to a model, or to what it would cost."""

from typing import Protocol

import torch

from aurl.model.report import ModelReport, report
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.profile import Profile
from aurl.profile.model_sections import Model
from aurl.tokens.codec import Codec

__all__ = ["ModelReport", "build_model", "describe"]


class HasVocabulary(Protocol):
    """What is read of a codec."""

    @property
    def vocabulary_size(self) -> int:
        """Ids known."""
        ...


def build_model(section: Model, codec: HasVocabulary) -> MusicTransformerVAEGAN:
    """The model that a profile's `model` section describes, for the ids of `codec`; weights random."""
    return MusicTransformerVAEGAN(
        codec.vocabulary_size,
        section.d_model,
        n_layers=section.n_layers,
        n_heads=section.n_heads,
        ff_multiplier=section.ff_multiplier,
        dropout=section.dropout,
        pattern=section.pattern,
        attention=section.attention,
        checkpointing=section.checkpointing,
    )


def describe(profile: Profile) -> ModelReport:
    """What the model of `profile` and a training step with it cost; no memory is taken for weights."""
    codec = Codec(time_base=profile.tokens.time_base, parts=profile.tokens.parts, header=profile.tokens.header)
    with torch.device("meta"):
        model = build_model(profile.model, codec)
    return report(
        model,
        seq_len=profile.data.seq_len,
        batch_size=profile.data.batch_size,
        half=profile.training.precision != "fp32",
        average=profile.training.ema_decay > 0,
    )

"""From a profile's sections to a model, or to what it would cost."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from aurl.controls.told import Controls
from aurl.model.discriminator import Discriminator
from aurl.model.latents.bags import BagsOfIds
from aurl.model.latents.echo import EchoHead
from aurl.model.latents.encoder import Encoder
from aurl.model.latents.levels import FINE, GLOBAL, LOCAL, Level
from aurl.model.latents.parts import LatentParts
from aurl.model.latents.stream import LatentStream
from aurl.model.lora import adapt
from aurl.model.prior.conditions import condition_sizes
from aurl.model.prior.hierarchy import LatentPrior
from aurl.model.report import ModelReport, report
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.profile import Profile
from aurl.profile.model_sections import Latent, Model
from aurl.profile.training_sections import Lora
from aurl.tokens.codec import Codec

__all__ = ["ModelReport", "build_controls", "build_discriminator", "build_model", "describe", "model_codec"]

ENCODER_SHARE = 0.5
"""Inner width of the encoder's feed-forward layers over tokens, as a share of the decoder's: a step is 3 % shorter."""


def model_codec(profile: Profile, codec: Codec) -> Codec:
    """A data set's codec with all that a profile lets windows tell: that of the model's ids."""
    controls = profile.controls
    return codec.with_controls(controls.facts, chords=controls.chords, infill=controls.infill > 0)


def build_controls(profile: Profile, codec: Codec, *, training: bool) -> Controls | None:
    """What windows of a data set tell beside the music, by a profile; None: nothing.

    Only in training is some of it forgotten, and are spans told last.
    """
    section = profile.controls
    if not section.tells:
        return None
    chances = section.model_dump(include={"forget", "forget_all", "infill"}) if training else {}
    return Controls(model_codec(profile, codec), seq_len=profile.data.seq_len, **chances)


def build_model(profile: Profile, codec: Codec, styles: Sequence[str] = ()) -> MusicTransformerVAEGAN:
    """The model that a profile describes, for ids of `codec` and what is told besides; weights random.

    Args:
        profile: what is built.
        codec: of the data set.
        styles: names of those that the prior can be told; a run's data set decides which there are.
    """
    section, codec = profile.model, model_codec(profile, codec)
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
        latents=None if section.mode == "transformer" else _build_latents(section, profile.latent, codec, styles),
    )


def levels_of(section: Latent) -> tuple[Level, ...]:
    """The levels that a profile's `latent` section describes, coarse to fine; a size of 0 leaves one out."""
    levels = (
        Level(GLOBAL, section.global_size),
        Level(LOCAL, section.local_size, section.local_tokens),
        Level(FINE, section.fine_size, section.fine_tokens),
    )
    return tuple(level for level in levels if level.size)


def _build_latents(section: Model, latent: Latent, codec: Codec, styles: Sequence[str]) -> LatentParts:
    levels, d_model = levels_of(latent), section.d_model
    encoder = Encoder(
        d_model,
        levels,
        n_heads=section.n_heads,
        d_hidden=max(1, round(d_model * section.ff_multiplier * ENCODER_SHARE)),
        pattern=latent.encoder_pattern,
        attention=latent.encoder_attention,
        segment_layers=latent.segment_layers,
        dropout=section.dropout,
        batch_norm=latent.batch_norm,
        initial_log_variance=latent.initial_log_variance,
    )
    conditions = condition_sizes(latent.conditions, len(styles))
    prior = LatentPrior(
        levels, kind=latent.prior, lower_kind=latent.lower_prior, d_hidden=d_model, conditions=conditions
    )
    bags = BagsOfIds(levels, codec.vocabulary_size)
    echo = EchoHead(latent.stream_size, codec.vocabulary_size)
    stream = LatentStream(levels, latent.stream_size)
    return LatentParts(encoder, stream, prior, bags, echo, tuple(conditions), tuple(styles))


def build_discriminator(profile: Profile, model: MusicTransformerVAEGAN) -> Discriminator:
    """The discriminator that a profile of mode `vae_gan` describes, for what `model` makes; weights random."""
    section = profile.discriminator
    local_sizes = [level.size for level in model.levels if level.name == LOCAL]
    return Discriminator(
        model.embedding.ids.shape[1],
        scales=section.scales,
        d_model=section.width,
        n_layers=section.depth,
        musical_features=section.musical_features,
        latent_size=local_sizes[0] if local_sizes and section.latent_view else 0,
    )


def describe(profile: Profile) -> ModelReport:
    """What the model of `profile` and a training step with it cost; no memory is taken for weights."""
    codec = Codec(time_base=profile.tokens.time_base, parts=profile.tokens.parts, header=profile.tokens.header)
    with torch.device("meta"):
        model = build_model(profile, codec)
    # Small, and its norms take a hundred times longer to register where there are no numbers.
    discriminator = build_discriminator(profile, model) if profile.model.mode == "vae_gan" else None
    found = report(
        model,
        discriminator,
        seq_len=profile.data.seq_len,
        batch_size=profile.data.batch_size,
        half=profile.training.precision != "fp32",
        average=profile.training.ema_decay > 0,
    )
    return found if profile.training.lora is None else replace(found, adapters=_adapters(model, profile.training.lora))


def _adapters(model: MusicTransformerVAEGAN, lora: Lora) -> int:
    adapt(model, **lora.model_dump())
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)

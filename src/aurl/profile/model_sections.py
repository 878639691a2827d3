"""The keys of a profile that say what is built."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from aurl.profile.sections import Component, ComponentOf, KindsOf, Optional, OptionsOf, Section

SMALLEST_LATENT = 16
Share = Annotated[float, Field(ge=0, le=1)]


class Model(Section):
    """What is built."""

    mode: Literal["transformer", "vae", "vae_gan"] = Field(
        default="transformer",
        description="A causal decoder; one that latents steer, with their encoder; or that and a discriminator.",
    )
    d_model: int = Field(default=256, ge=8, description="Width of the residual stream.")
    n_layers: int = Field(default=6, ge=1, description="Decoder layers, one after another.")
    n_heads: int = Field(
        default=4, ge=1, validate_default=True, description="Attention heads; d_model / n_heads must be even."
    )
    ff_multiplier: float = Field(default=4.0, gt=0, description="Feed-forward width as a multiple of d_model.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Probability that a unit is dropped while training.")
    pattern: Annotated[tuple[str, ...], KindsOf("attention")] = Field(
        default=("full",),
        min_length=1,
        description="Attention kinds of the layers, repeated until all layers have one.",
    )
    attention: Annotated[dict[str, dict[str, Any]], OptionsOf("attention")] = Field(
        default={}, description="Options of the attention kinds, a table for each kind."
    )
    checkpointing: bool = Field(
        default=False, description="Recompute activations in the backward pass: a third slower, far less memory."
    )

    @field_validator("n_heads")
    @classmethod
    def _heads_divide_width(cls, n_heads: int, info: ValidationInfo) -> int:
        d_model = info.data.get("d_model")
        if d_model is not None and d_model % (2 * n_heads):
            raise ValueError(f"d_model / n_heads should be an even number, but {d_model} / {n_heads} is not")
        return n_heads


class Latent(Section):
    """The latents of modes `vae` and `vae_gan`: how long, how many, how made, how used."""

    global_size: int = Field(default=128, ge=SMALLEST_LATENT, description="Dimensions of the latent of a whole window.")
    local_size: int = Field(
        default=48, ge=0, description="Dimensions of the latent of each local_tokens tokens; 0: no such level."
    )
    fine_size: int = Field(
        default=16, ge=0, description="Dimensions of the latent of each fine_tokens tokens; 0: no such level."
    )
    fine_tokens: int = Field(default=32, ge=1, description="Tokens that share a fine latent.")
    local_tokens: int = Field(
        default=128,
        ge=1,
        validate_default=True,
        description="Tokens that share a local latent, a multiple of fine_tokens.",
    )
    encoder_pattern: Annotated[tuple[str, ...], KindsOf("attention")] = Field(
        default=("sliding_window",), min_length=1, description="Attention kind of each encoder layer over tokens."
    )
    encoder_attention: Annotated[dict[str, dict[str, Any]], OptionsOf("attention")] = Field(
        default={"sliding_window": {"window": 64}}, description="Options of the encoder's attention kinds."
    )
    segment_layers: int = Field(default=1, ge=0, description="Encoder layers over the segments of each level.")
    batch_norm: bool = Field(
        default=False, description="Normalise posterior means over the batch, which keeps them from collapsing."
    )
    initial_log_variance: float = Field(
        default=-4.0, le=0, description="Log-variance of posteriors at the start; narrow ones are learned from sooner."
    )
    stream_size: int = Field(
        default=128, ge=8, description="Width of the stream in which all levels reach every decoder layer."
    )
    prior: Annotated[Component, ComponentOf("prior")] = Field(
        default={"kind": "gaussian"}, description="Distribution of global latents of music."
    )
    lower_prior: Annotated[Component, ComponentOf("prior")] = Field(
        default={"kind": "gaussian"},
        description="Distribution of lower latents, given those above and before.",
    )
    conditions: tuple[Literal["key", "tempo", "time_signature"], ...] = Field(
        default=(), description="Facts of the header that the prior of global latents is told."
    )
    style: Annotated[str | None, Optional] = Field(
        default=None, description="Label of pieces, such as composer, that the prior of global latents is told, too."
    )
    word_dropout: float = Field(
        default=0.0, ge=0, le=1, description="Share of the decoder's inputs that are hidden from it at first."
    )
    word_dropout_end: float = Field(default=0.0, ge=0, le=1, description="The share to which that falls.")
    word_dropout_until: float = Field(
        default=0.8, gt=0, le=1, description="Share of the training after which it has fallen to that."
    )
    level_dropout: float = Field(
        default=0.1, ge=0, lt=1, description="Share of windows that see only the levels above one that is drawn."
    )

    @field_validator("local_size", "fine_size")
    @classmethod
    def _large_or_none(cls, size: int) -> int:
        if 0 < size < SMALLEST_LATENT:
            raise ValueError(f"should be 0 or at least {SMALLEST_LATENT}")
        return size

    @field_validator("local_tokens")
    @classmethod
    def _segments_nest(cls, tokens: int, info: ValidationInfo) -> int:
        fine = info.data.get("fine_tokens")
        if fine is not None and tokens % fine:
            raise ValueError(f"{tokens} is no multiple of fine_tokens ({fine})")
        return tokens


class Discriminator(Section):
    """The discriminator of mode `vae_gan`."""

    scales: tuple[int, ...] = Field(
        default=(32, 128, 256), min_length=1, description="Tokens in the windows that it hears; one part for each."
    )
    width: int = Field(default=64, ge=8, description="Width of the layers of each part.")
    depth: int = Field(default=3, ge=1, description="Hidden layers of each part.")
    musical_features: bool = Field(
        default=True, description="A part that hears rhythm, harmony, melody and dynamics computed from the ids."
    )
    latent_view: bool = Field(default=True, description="A part that hears the local latents of the whole window.")
    lr: float = Field(default=1e-3, gt=0, description="Its highest learning rate.")
    stages: tuple[Share, ...] = Field(
        default=(0.0, 0.33, 0.67),
        min_length=3,
        max_length=3,
        description="Shares of the training after start from which the first, second and further scales are heard.",
    )
    start: float = Field(default=0.3, ge=0, lt=1, description="Share of the training after which it takes part.")
    warm_start: int = Field(
        default=100, ge=0, description="Updates in which it learns alone, before the generator hears it."
    )
    r1: float = Field(default=0.0, ge=0, description="Weight of its squared slope at real music (R1); 0: none.")
    r1_every: int = Field(default=16, ge=1, description="Its steps between two times that R1 is added, r1_every-fold.")
    gradient_penalty: float = Field(
        default=0.0, ge=0, description="Weight of keeping its slope between real music and fakes near 1; 0: none."
    )
    measure_every: int = Field(
        default=10, ge=1, description="Updates between two looks at its accuracy and at the balance of gradients."
    )
    weight_cap: float = Field(
        default=0.0,
        ge=0,
        description="Most by which loss.adversarial and loss.feature_matching are multiplied so that they are shares "
        "of the likelihood's gradient; 0: they stay as they are.",
    )
    skip_above: Share = Field(default=0.95, description="Accuracy above which it takes no steps.")
    skip_below: Share = Field(
        default=0.5, validate_default=True, description="Accuracy below which the generator does not listen."
    )
    harm: float = Field(
        default=0.01,
        ge=0,
        description="Share by which validation may be worse than before the generator listened; twice in a row, and "
        "the adversary is switched off. 0: it never is.",
    )

    @field_validator("scales")
    @classmethod
    def _windows_overlap_by_half(cls, scales: tuple[int, ...]) -> tuple[int, ...]:
        if odd := [scale for scale in scales if scale < 2 or scale % 2]:
            raise ValueError(f"{odd[0]} is no even number of tokens")
        if len(set(scales)) < len(scales):
            raise ValueError("a scale is named twice")
        return scales

    @field_validator("skip_below")
    @classmethod
    def _someone_learns(cls, below: float, info: ValidationInfo) -> float:
        above = info.data.get("skip_above")
        if above is not None and below > above:
            raise ValueError(f"with skip_above {above} neither side would learn in between")
        return below

"""From a profile's sections to a model."""

from typing import Any, Protocol

from aurl.model.vae_gan import MusicTransformerVAEGAN


class ModelSection(Protocol):
    """What is read of a profile's `model` section."""

    d_model: int
    n_layers: int
    n_heads: int
    ff_multiplier: float
    dropout: float
    pattern: tuple[str, ...]
    attention: dict[str, dict[str, Any]]
    checkpointing: bool


class HasVocabulary(Protocol):
    """What is read of a codec."""

    @property
    def vocabulary_size(self) -> int:
        """Ids known."""
        ...


def build_model(section: ModelSection, codec: HasVocabulary) -> MusicTransformerVAEGAN:
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

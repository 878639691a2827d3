"""The keys of a profile: type, bounds, default and meaning. The documentation's tables come from here."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator


@dataclass(frozen=True, slots=True)
class ComponentOf:
    """Marks a field that holds one component, or an array of them: `{kind = "…", option = …}`."""

    registry: str


@dataclass(frozen=True, slots=True)
class KindsOf:
    """Marks a field that holds an array of kinds."""

    registry: str


@dataclass(frozen=True, slots=True)
class OptionsOf:
    """Marks a table from kind to that kind's options."""

    registry: str


NONE_WORD = "none"
"""TOML has no null: this word stands for it where a key may be absent."""


def _none_word(value: Any) -> Any:
    return None if value == NONE_WORD else value


Optional = BeforeValidator(_none_word)
"""Marks a field that may be `"none"`."""
Component = dict[str, Any]


class Section(BaseModel):
    """One table of a profile."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class Prepare(Section):
    """From MIDI files to a data set."""

    preprocess: Annotated[tuple[Component, ...], ComponentOf("preprocess")] = Field(
        default=(), description="What is done to every piece before it is tokenised, in this order."
    )
    split: Annotated[Component, ComponentOf("split")] = Field(
        default={"kind": "hash"}, description="How pieces are divided into train, valid and test."
    )
    max_file_mb: float = Field(default=16.0, gt=0, description="Files larger than this many MiB are rejected unread.")
    timeout_seconds: float = Field(default=60.0, gt=0, description="A file that takes longer than this is rejected.")
    memory_mb: int = Field(default=1024, ge=64, description="Memory in MiB that one worker process may take.")
    shard_tokens: int = Field(default=4_000_000, ge=1000, description="Tokens after which a new shard is begun.")
    min_notes: int = Field(default=1, ge=1, description="Pieces with fewer notes are rejected.")
    cache_gb: float = Field(
        default=20.0,
        ge=0,
        description="GiB to which the token cache is trimmed after a run, the longest unused first; 0: no cache.",
    )
    dedupe: Literal["group", "keep-one", "off"] = Field(
        default="group",
        description="What happens to near-duplicates: kept together in one split, only the first kept, or nothing.",
    )
    dedupe_similarity: float = Field(
        default=0.25, gt=0, le=1, description="Share of their n-grams from which on two pieces are near-duplicates."
    )
    metadata: Annotated[str | None, Optional] = Field(
        default=None, description="CSV or JSON file with a path column and labels such as composer, genre, split."
    )
    labels: tuple[str, ...] = Field(
        default=(), description='Patterns that tell labels from the end of a path, such as "{composer}/*".'
    )


class Tokens(Section):
    """How a piece is spelt as ids."""

    time_base: Literal["beats", "seconds"] = Field(
        default="beats", description="A time step is 1/32 of a beat, or 1/64 of a second."
    )
    parts: bool = Field(
        default=True, description="Keep instruments apart; false merges all tracks into one without programs."
    )
    header: tuple[Literal["tempo", "time_signature", "key"], ...] = Field(
        default=("tempo", "time_signature", "key"), description="Facts that are told at the start of each piece."
    )


class Data(Section):
    """How the data set is served to the model."""

    seq_len: int = Field(default=1024, ge=2, description="Tokens in one training window.")
    batch_size: int = Field(default=8, ge=1, description="Windows in one batch, in each process.")
    batch_tokens: Annotated[int | None, Optional] = Field(
        default=None,
        ge=2,
        description="Tokens in one batch, padding and all, of windows of like length; none: batch_size windows.",
    )
    truncation: Annotated[Component, ComponentOf("truncation")] = Field(
        default={"kind": "sliding_window"}, description="How pieces longer than a window are cut for training."
    )
    curriculum: Annotated[Component | None, Optional, ComponentOf("curriculum")] = Field(
        default=None, description="Which pieces come first; none: all from the start, in random order."
    )
    augment: Annotated[tuple[Component, ...], ComponentOf("augment")] = Field(
        default=(), description="How training windows are varied, one kind after the other; see augmentation.md."
    )
    hybrid: bool = Field(
        default=False, description="Make the hybrid view of each batch: time, beat and bar of each id, and piano roll."
    )
    workers: int = Field(default=0, ge=0, description="Loader processes; 0 loads in the training process itself.")
    prefetch: int = Field(default=2, ge=1, description="Batches that each loader process has ready.")

    @field_validator("batch_tokens")
    @classmethod
    def _a_window_fits(cls, batch_tokens: int | None, info: ValidationInfo) -> int | None:
        seq_len = info.data.get("seq_len")
        if batch_tokens is not None and seq_len is not None and batch_tokens < seq_len:
            raise ValueError(f"a batch should hold a window of {seq_len} tokens (data.seq_len), {batch_tokens} do not")
        return batch_tokens


class Controls(Section):
    """What windows of music tell of themselves, so that new music can be asked for by it."""

    facts: tuple[Literal["key", "density", "polyphony", "register", "dynamics"], ...] = Field(
        default=(), description="What is measured of each window and told in its header."
    )
    chords: bool = Field(default=False, description="Tell the chords of each window among its notes.")
    infill: float = Field(
        default=0.0, ge=0, le=1, description="Share of training windows that tell some bars last, after both sides."
    )
    forget: float = Field(
        default=0.2, ge=0, lt=1, description="Chance in training of each fact, and of the chords, to be left open."
    )
    forget_all: float = Field(
        default=0.1, ge=0, lt=1, description="Chance in training that all of it is left open, which guidance needs."
    )

    @property
    def tells(self) -> bool:
        """Anything is told."""
        return bool(self.facts) or self.chords or self.infill > 0


class Generation(Section):
    """How new pieces are drawn; the options of `aurl generate` come before these."""

    temperature: float = Field(
        default=1.0, ge=0, description="Below 1 safer, above 1 bolder; 0 always takes the likeliest id."
    )
    top_k: int = Field(default=0, ge=0, description="Draw from this many likeliest ids only; 0: from all.")
    top_p: float = Field(
        default=0.95, gt=0, le=1, description="Draw from the likeliest ids that together have this probability."
    )
    min_p: float = Field(
        default=0.0, ge=0, lt=1, description="Drop ids with less than this share of the likeliest id's probability."
    )
    filters: Annotated[tuple[Component, ...], ComponentOf("filter")] = Field(
        default=(), description="What is done to scores before an id is drawn, in this order; see generation.md."
    )
    constraints: Annotated[tuple[Component, ...], ComponentOf("constraint")] = Field(
        default=(), description="What pieces keep to beside the grammar; see generation.md."
    )
    guidance: float = Field(
        default=1.0,
        ge=0,
        description="How strongly pieces are drawn to what they were asked to be; 1: as the model learned it.",
    )
    steering: float = Field(
        default=1.0,
        ge=0,
        description="How strongly pieces are led back to the key and numbers that were asked, once they stray; 0: not.",
    )
    latent_temperature: float = Field(
        default=1.0, ge=0, description="Factor of the noise of latents that are drawn from the prior; 0: its centre."
    )
    max_note_beats: float = Field(
        default=8.0, ge=0, description="A note that the model holds for so many beats is ended; 0: no limit."
    )
    max_seconds: float = Field(default=60.0, gt=0, description="Pieces end here if they have not ended by themselves.")

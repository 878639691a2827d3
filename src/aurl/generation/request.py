"""What a user asks of new pieces."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from aurl.generation.beam import Beam
from aurl.generation.request_faults import check
from aurl.generation.wishes import Wishes
from aurl.midi.score import Score
from aurl.profile.sections import Component

if TYPE_CHECKING:
    from aurl.generation.form import Form

SEED_LIMIT = 2**31
"""Seeds drawn for the user stay short enough to be typed again."""
MAX_TOKENS = 65_536
STEPS = 7
"""Of an interpolation, where nothing is said: both ends, the middle, and two between each."""


def draw_seed() -> int:
    """A seed that nobody knows beforehand."""
    return secrets.randbelow(SEED_LIMIT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Which pieces are to be made; the same request of the same model makes the same pieces.

    With `seconds` or `bars` a piece gets that much new music (after the prompt, if any) and ends in its last beat;
    without either it ends when the model ends it, at the latest after `generation.max_seconds` of the run's profile; a
    piece like a song becomes as long as the song.

    Args:
        count: how many pieces; of an interpolation, how many of them.
        seed: piece i is made with seed + i; drawn where it is not given.
        seconds: of new music.
        bars: of new music, in the meter of the prompt or of the piece's header (4/4 without).
        form: sections of which some come back; it says how long pieces are.
        prompt: a song to continue, or to fill in.
        prompt_seconds: how much of it; None for all.
        infill: which part of it is made anew, see `open_gap`; it keeps its length, and the rest is left as it is.
        like: a song whose latents are taken; this and what follows up to `hold`, like `latent_temperature`, need a
            model with latents.
        variation: ≥ 0, how many deviations of their posterior latents are away from its mean; 1 draws from it.
        interpolate: two songs; pieces lead from one to the other.
        steps: ≥ 2, how many pieces that takes, both ends included; `STEPS` where None.
        keep: levels whose latents stay those of the song, or of the first of two.
        more: attribute → how many deviations of it among the music that was learnt from; see `Directions`.
        hold: attributes that are not among them stay as they are.
        wishes: what the model is told; nothing by default.
        guidance: ≥ 0, how strongly pieces are drawn to what it is told, see `Guidance`; the profile's where None.
        steering: ≥ 0, how strongly they are led back to it, see `Steering`; likewise.
        style: of the pieces, one of those that the run knows; latents are drawn for it, so no song can be given beside.
        latent_temperature: ≥ 0, factor of the noise that the prior draws latents with; this and the next four are the
            profile's where None.
        temperature: ≥ 0; see `Sampler` for this and the next three.
        top_k: ≥ 0.
        top_p: 0 to 1.
        min_p: 0 to 1.
        filters: what is done to scores before an id is drawn; each takes the place of the profile's of its kind, whose
            others stay.
        constraints: what pieces keep to beside the grammar; likewise.
        mend: pieces are made to keep to them when they are whole, and not while they grow.
        beam: search for likely pieces instead of drawing ids.
        max_tokens: most ids that are sampled for one piece.

    Raises:
        UsageError: no pieces, a number out of range, or wishes of which one says what the other denies.
    """

    count: int = 1
    seed: int = field(default_factory=draw_seed)
    seconds: float | None = None
    bars: int | None = None
    form: "Form | None" = None
    prompt: Path | Score | None = None
    prompt_seconds: float | None = None
    infill: str | None = None
    like: Path | Score | None = None
    variation: float = 0.0
    interpolate: tuple[Path | Score, Path | Score] | None = None
    steps: int | None = None
    keep: tuple[str, ...] = ()
    more: Mapping[str, float] = field(default_factory=dict)
    hold: bool = False
    wishes: Wishes = field(default_factory=Wishes)
    guidance: float | None = None
    steering: float | None = None
    style: str | None = None
    latent_temperature: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    filters: tuple[Component, ...] = ()
    constraints: tuple[Component, ...] = ()
    mend: bool = False
    beam: Beam | None = None
    max_tokens: int = MAX_TOKENS

    def __post_init__(self) -> None:
        check(self)

    @property
    def seeds(self) -> range:
        """One for each piece; for each interpolation where there are such."""
        return range(self.seed, self.seed + self.count)

    @property
    def places(self) -> int:
        """How many pieces are made of one seed."""
        return 1 if self.interpolate is None else self.steps or STEPS

    @property
    def total(self) -> int:
        """How many pieces are made."""
        return self.count * self.places

    def seed_of(self, number: int) -> int:
        """The seed of a piece, counted from 0; all steps of an interpolation have the same, and follow each other."""
        return self.seed + number // self.places

    @property
    def may_end(self) -> bool:
        """Whether pieces may end by themselves: no length is asked, and no song has one."""
        lengths = (self.seconds, self.bars, self.like, self.interpolate, self.infill)
        return all(length is None for length in lengths)

"""What a user asks of new pieces."""

import math
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from aurl.errors import UsageError
from aurl.midi.score import Score

SEED_LIMIT = 2**31
"""Seeds drawn for the user stay short enough to be typed again."""
MAX_SEED = 2**63 - 1
MAX_TOKENS = 65_536


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
        count: how many pieces.
        seed: piece i is made with seed + i; drawn where it is not given.
        seconds: of new music.
        bars: of new music, in the meter of the prompt or of the piece's header (4/4 without).
        prompt: a song to continue.
        prompt_seconds: how much of it; None for all.
        like: a song whose latents are taken; this, `variation` and `latent_temperature` need a model with latents.
        variation: ≥ 0, how many deviations of their posterior latents are away from its mean; 1 draws from it.
        style: of the pieces, one of those that the run knows; latents are drawn for it, so no song can be given beside.
        latent_temperature: ≥ 0, factor of the noise that the prior draws latents with; this and the next four are the
            profile's where None.
        temperature: ≥ 0; see `Sampler` for this and the next three.
        top_k: ≥ 0.
        top_p: 0 to 1.
        min_p: 0 to 1.
        max_tokens: most ids that are sampled for one piece.

    Raises:
        UsageError: no pieces, a number out of range, two lengths, or what a song must be given for, or must not.
    """

    count: int = 1
    seed: int = field(default_factory=draw_seed)
    seconds: float | None = None
    bars: int | None = None
    prompt: Path | Score | None = None
    prompt_seconds: float | None = None
    like: Path | Score | None = None
    variation: float = 0.0
    style: str | None = None
    latent_temperature: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    max_tokens: int = MAX_TOKENS

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"{self.count} pieces are nothing to make", hint="give 1 or more")
        last = MAX_SEED - self.count
        if not 0 <= self.seed <= last:
            raise UsageError(f"seed {self.seed} is out of range", hint=f"give a whole number from 0 to {last}")
        if self.seconds is not None and self.bars is not None:
            raise UsageError("a piece cannot have a length in seconds and one in bars", hint="give one of them")
        if self.prompt is None and self.prompt_seconds is not None:
            raise UsageError("prompt_seconds without a prompt", hint="name a song to continue: --prompt song.mid")
        if not 0 <= self.variation < math.inf:
            raise UsageError(
                f"variation is {self.variation}", hint="give a number ≥ 0; 0 stays with the song's latents"
            )
        if self.like is None and self.variation:
            raise UsageError("variation of no song", hint="name the song that pieces are to be like: --like song.mid")
        if self.style is not None and not (self.prompt is None and self.like is None):
            raise UsageError("a piece has the style of the song that is given", hint="leave out the style, or the song")
        if self.latent_temperature is not None and not 0 <= self.latent_temperature < math.inf:
            raise UsageError(f"latent_temperature is {self.latent_temperature}", hint="give a number ≥ 0, such as 0.8")

    @property
    def seeds(self) -> range:
        """One for each piece."""
        return range(self.seed, self.seed + self.count)

    @property
    def may_end(self) -> bool:
        """Whether pieces may end by themselves: no length is asked, and no song has one."""
        return self.seconds is None and self.bars is None and self.like is None

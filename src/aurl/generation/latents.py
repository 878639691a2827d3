"""The latents of a growing piece: what is given of them, and what the prior makes of one seed for all that follows."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from aurl.model.latents.levels import GLOBAL, Latents, Level
from aurl.model.vae_gan import MusicTransformerVAEGAN

TOKENS_AT_ONCE = 1024
"""Latents are drawn for so many tokens at a time. Sums are rounded as their operands lie in memory, so latents that are
drawn together are always the same ones, whoever asks for how many."""
NOISE, CHOICE, SPREAD = range(3)
"""What random numbers of a latent are for."""


def numbers(seed: int, level: int, purpose: int) -> np.random.Generator:
    """Random numbers of one piece, one level, one purpose; none of those that its ids are drawn with."""
    return np.random.default_rng((seed, level, purpose))


def largest_segment(levels: Sequence[Level], most: int | None = None) -> int:
    """Tokens of the largest segment on any level, of those that are not above `most`; 1 where there is none."""
    tokens = [level.tokens for level in levels if level.tokens]
    return max((count for count in tokens if most is None or count <= most), default=1)


class _Numbers:
    """What one level of one piece is drawn with; the first numbers stay the same, however many there are."""

    def __init__(self, seed: int, place: int, size: int) -> None:
        self._noise, self._choice = (numbers(seed, place, purpose) for purpose in (NOISE, CHOICE))
        self.noise, self.choice = torch.empty(1, 0, size), torch.empty(1, 0)  # (1, n, size), (1, n)

    def reach(self, count: int) -> None:
        """Have them for `count` latents at least."""
        _, have, size = self.noise.shape
        missing = max(count - have, 0)
        noise = self._noise.standard_normal((1, missing, size), np.float32)
        choice = self._choice.random((1, missing), np.float32)
        self.noise = torch.cat([self.noise, torch.from_numpy(noise)], 1)
        self.choice = torch.cat([self.choice, torch.from_numpy(choice)], 1)


class PieceLatents:
    """The latents of one piece, in segments counted from its start: those that are given, and then the prior's.

    They depend on the seed and on what is given alone, not on other pieces, nor on who asks for how many of them. What
    the prior draws follows from the global latent that holds there.

    Args:
        model: with latents, in evaluation mode.
        seed: of the piece.
        given: level → (1, n, size), the first latents there; levels may be missing, or end earlier than others. There
            may be several global ones.
        begins: positions from which on each of those holds, the first 0.
        temperature: factor of the prior's noise, ≥ 0.
        conditions: (1, C), what is known of the header, see `LatentPrior`; None: nothing.
        shift: level → (size,), added to all latents there, whoever made them; levels may be missing.
    """

    def __init__(
        self,
        model: MusicTransformerVAEGAN,
        seed: int,
        *,
        given: Latents | None = None,
        begins: Sequence[int] = (0,),
        temperature: float = 1.0,
        conditions: Tensor | None = None,
        shift: Latents | None = None,
    ) -> None:
        self._model = model
        self._temperature = temperature
        self._conditions = conditions
        self._device = next(model.parameters()).device
        self._numbers = {level.name: _Numbers(seed, place, level.size) for place, level in enumerate(model.levels)}
        self._known = {name: known for name, known in (given or {}).items() if known.shape[1]}
        self._begins = list(begins)
        self._shift = {name: step.to(self._device) for name, step in (shift or {}).items()}
        self._segment = largest_segment(model.levels)
        self._tokens = 0

    def first(self, tokens: int) -> dict[str, Tensor]:
        """Level → `(1, n, size)`: the latents of at least so many tokens."""
        while self._tokens < tokens:
            self._tokens += -(-TOKENS_AT_ONCE // self._segment) * self._segment
            self._extend()
        return {
            name: known + self._shift[name] if name in self._shift else known for name, known in self._known.items()
        }

    def stream(self, begin: int, count: int) -> Tensor:
        """`(1, count, stream_size)`: what the decoder is told at `count` positions of the piece from `begin` on."""
        latents = self.first(begin + count)
        skipped = begin // self._segment * self._segment
        here = {level.name: latents[level.name][:, _segments(level, skipped, begin + count)] for level in self._levels}
        edges = [begin, *(edge for edge in self._begins if begin < edge < begin + count), begin + count]
        return torch.cat([self._part(here, first, stop, skipped) for first, stop in pairwise(edges)], 1)

    @torch.inference_mode()
    def _part(self, latents: Latents, begin: int, stop: int, skipped: int) -> Tensor:
        """The stream from `begin` to `stop`, where one global latent holds, of `latents` that begin at `skipped`."""
        number = bisect_right(self._begins, begin) - 1
        heard = {**latents, GLOBAL: latents[GLOBAL][:, number, None]}
        return self._model.stream(heard, torch.arange(begin - skipped, stop - skipped, device=self._device))

    @property
    def _levels(self) -> tuple[Level, ...]:
        return self._model.levels

    def _extend(self) -> None:
        """Draw what is missing on each level for the tokens that there are to be, given the global latents there."""
        below = self._levels[1] if len(self._levels) > 1 else None
        drawn = self._have(below) * (below.tokens or 0) if below else 0
        edges = (-(-begin // self._segment) * self._segment for begin in self._begins if begin > drawn)
        for begin, stop in pairwise([drawn, *sorted({edge for edge in edges if edge < self._tokens}), self._tokens]):
            self._draw(stop, bisect_right(self._begins, begin) - 1)

    def _have(self, level: Level) -> int:
        return self._known[level.name].shape[1] if level.name in self._known else 0

    @torch.inference_mode()
    def _draw(self, tokens: int, number: int) -> None:
        """What is missing of so many tokens, given the global latent of this number."""
        prior = self._model.prior
        wanted = {level.name: level.count(tokens) for level in self._levels}
        if prior is None or all(self._have(level) >= wanted[level.name] for level in self._levels):
            return
        for name, drawn in self._numbers.items():
            drawn.reach(wanted[name])
        noise = {name: (self._temperature * drawn.noise).to(self._device) for name, drawn in self._numbers.items()}
        choice = {name: drawn.choice.to(self._device) for name, drawn in self._numbers.items()}
        known = {name: latents[:, : wanted[name]] for name, latents in self._known.items()}
        above = {GLOBAL: self._known[GLOBAL][:, number, None]} if GLOBAL in known else {}
        found = prior.sample(noise, choice, conditions=self._conditions, given={**known, **above})
        missing = {level.name for level in self._levels if self._have(level) < wanted[level.name]}
        self._known |= {name: found[name] for name in missing}


def _segments(level: Level, begin: int, stop: int) -> slice:
    """The latents of the tokens from `begin`, where a segment of each level begins, to `stop`."""
    return slice(None) if level.tokens is None else slice(begin // level.tokens, level.count(stop))

"""What the encoder says about a piece of any length, window by window as training shows it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from aurl.generation.context import elapsed_steps, header_length
from aurl.generation.latents import SPREAD, largest_segment, numbers
from aurl.model.latents import Level, Posterior
from aurl.model.vae_gan import MusicTransformerVAEGAN


class Encoding(NamedTuple):
    """Normal distributions over the latents of one piece.

    Args:
        levels: of the model.
        mean: level → (1, n, size).
        deviation: level → (1, n, size).
        begins: positions from which on each of the global latents holds.
        length: how many positions the piece has.
    """

    levels: Sequence[Level]
    mean: Mapping[str, Tensor]
    deviation: Mapping[str, Tensor]
    begins: Sequence[int]
    length: int

    def draw(self, seed: int, variation: float) -> dict[str, Tensor]:
        """The means, and `variation` deviations away from them; 1 draws from the posterior itself."""
        drawn = {}
        for place, level in enumerate(self.levels):
            mean = self.mean[level.name]
            noise = torch.from_numpy(numbers(seed, place, SPREAD).standard_normal(mean.shape, "float32"))
            drawn[level.name] = mean + variation * self.deviation[level.name] * noise.to(mean.device)
        return drawn


class _Window(NamedTuple):
    """A part of a piece: its header, and then what follows as if `dropped` ids had never been.

    Position w of the window is position w + dropped of the piece; latents are wanted of those from `fresh` to `stop`.
    """

    header: int
    dropped: int
    fresh: int
    stop: int


@torch.inference_mode()
def encode(model: MusicTransformerVAEGAN, ids: Sequence[int], *, context: int) -> Encoding:
    """The latents of a piece; a global one for each window that it takes, which holds for what the window adds.

    A piece that is longer than the context is read in windows that begin with its header, as in training; each begins
    so far before the end of the last that no segment lies under the header.

    Args:
        model: with latents, in evaluation mode.
        ids: BOS first, at least 2; EOS last, or the segment that is not finished says so.
        context: most ids that the model may see at once, its training length.
    """
    windows = list(_windows(len(ids) - 1, header_length(ids), context, model.levels))
    posteriors = [_encode(model, ids, window) for window in windows]
    mean, deviation = {}, {}
    for level in model.levels:
        parts = [_part(level, window, found[level.name]) for window, found in zip(windows, posteriors, strict=True)]
        mean[level.name], deviation[level.name] = (torch.cat(column, 1) for column in zip(*parts, strict=True))
    return Encoding(model.levels, mean, deviation, [window.fresh for window in windows], len(ids) - 1)


def _windows(count: int, header: int, context: int, levels: Sequence[Level]) -> Iterator[_Window]:
    """Windows that cover `count` positions; all but the first begin and end where segments do."""
    if count <= context:
        yield _Window(min(header, count), 0, 0, count)
        return
    segment = largest_segment(levels, context // 2)
    size = context // segment * segment
    header = min(header, size - segment)
    covered = -(-header // segment) * segment
    begin = fresh = 0
    while fresh < count:
        stop = min(begin + size, count)
        yield _Window(header, begin, fresh, stop)
        begin, fresh = stop - covered, stop


def _encode(model: MusicTransformerVAEGAN, ids: Sequence[int], window: _Window) -> dict[str, Posterior]:
    begin = window.dropped + window.header
    device = next(model.parameters()).device
    read = [*ids[: window.header], *ids[begin : window.stop + 1]]
    start_steps = torch.tensor([elapsed_steps(ids[:begin]) if window.dropped else 0], device=device)
    return model.encode(torch.tensor([read[1:]], device=device), start_steps)


def _part(level: Level, window: _Window, posterior: Posterior) -> tuple[Tensor, Tensor]:
    """Means and deviations of the latents that the window is there for."""
    mean, deviation = posterior.mean, torch.exp(0.5 * posterior.log_variance)
    if level.tokens is None:
        return mean, deviation
    wanted = torch.arange(level.count(window.fresh), level.count(window.stop), device=mean.device)
    here = (wanted * level.tokens - window.dropped) // level.tokens
    return mean[:, here], deviation[:, here]

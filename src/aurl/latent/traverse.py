"""Music along one direction of the latents, everything else the same: what does a dimension do?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aurl.errors import UsageError
from aurl.generation.context import elapsed_steps
from aurl.generation.length import Clock
from aurl.generation.load import Loaded
from aurl.generation.prompt import load_song, told_song
from aurl.generation.source import LatentSource
from aurl.latent.codes import Codes, require_latents
from aurl.latent.decoding import decode
from aurl.latent.factors import Floats
from aurl.midi.score import Score
from aurl.model.latents import Latents
from aurl.tokens.vocabulary import BOS

VALUES = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
BEATS = 16.0


@dataclass(frozen=True)
class Traversal:
    """Pieces along a direction.

    Args:
        values: how many deviations of it are added to the latents.
        scores: a piece for each; at 0 the piece that is traversed from.
    """

    values: tuple[float, ...]
    scores: list[Score]


def dimension(codes: Codes, level: str, number: int) -> dict[str, Tensor]:
    """One deviation of a dimension of a level over the posterior means, as `traverse` takes it.

    Raises:
        UsageError: there is none of this number.
    """
    means = _means(codes, level, number, "dimension")
    direction = np.zeros(means.shape[1])
    direction[number] = means[:, number].std()
    return {level: torch.from_numpy(direction.astype(np.float32))}


def principal(codes: Codes, level: str, number: int) -> dict[str, Tensor]:
    """One deviation along a principal axis of the posterior means of a level, 0 being the one of most variance.

    Its sign is such that its largest entry is positive.

    Raises:
        UsageError: there is none of this number.
    """
    means = _means(codes, level, number, "component")
    variances, axes = np.linalg.eigh(np.cov(means, rowvar=False, bias=True).reshape(means.shape[1], -1))
    axis = axes[:, -1 - number] * np.sqrt(max(float(variances[-1 - number]), 0.0))
    axis *= np.sign(axis[np.abs(axis).argmax()]) or 1.0
    return {level: torch.from_numpy(axis.astype(np.float32))}


def _means(codes: Codes, level: str, number: int, what: str) -> Floats:
    if level not in codes.levels:
        raise UsageError(f"the model has no level {level!r}", hint=f"known: {', '.join(codes.levels)}")
    means = codes.levels[level].mean.astype(np.float64)
    if not 0 <= number < means.shape[1]:
        raise UsageError(
            f"{level} latents have no {what} {number}", hint=f"give a number from 0 to {means.shape[1] - 1}"
        )
    return means


def traverse(
    loaded: Loaded,
    direction: Latents,
    *,
    values: Sequence[float] = VALUES,
    song: Path | Score | None = None,
    seed: int = 0,
    beats: float = BEATS,
    temperature: float | None = None,
) -> Traversal:
    """Pieces whose latents differ by multiples of a direction alone.

    Args:
        loaded: a model with latents.
        direction: level → (size,), added to all latents there, times each of `values`.
        values: usually from below 0 to above it.
        song: whose latents are traversed from; those that the prior makes of the seed where None.
        seed: of the prior, and of the ids of all pieces.
        beats: how long pieces become, at 120 BPM where the model counts in seconds; no longer than the song.
        temperature: 0 takes the likeliest id each time; the profile's where None.

    Raises:
        UsageError: the model has no latents.
        Rejected: the song cannot be used.
    """
    require_latents(loaded)
    like, steps = None, Clock().steps(beats, loaded.codec.time_base)
    if song is not None:
        like = told_song(load_song(song, loaded.codec, preprocess=loaded.preprocess)[1], loaded.codec)
        steps = min(steps, elapsed_steps(like))
    latents = [
        LatentSource(
            loaded.model,
            context=loaded.profile.data.seq_len,
            prompt=[BOS],
            like=like,
            shift={level: value * vector for level, vector in direction.items()} if value else None,
        )(seed)
        for value in values
    ]
    count = len(latents)
    scores = decode(loaded, latents, steps=[steps] * count, seeds=[seed] * count, temperature=temperature)
    return Traversal(tuple(values), scores)

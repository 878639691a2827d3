"""Music on the way from one song to another."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from aurl.generation.context import elapsed_steps
from aurl.generation.interpolation import places
from aurl.generation.load import Loaded
from aurl.generation.prompt import load_song, told_song
from aurl.generation.source import LatentSource
from aurl.latent.codes import require_latents
from aurl.latent.decoding import decode
from aurl.midi.score import Score
from aurl.model.latents import Latents
from aurl.tokens.vocabulary import BOS


@dataclass(frozen=True)
class Interpolation:
    """Pieces from song to song.

    Args:
        places: from 0, like the first song, to 1, like the other.
        scores: a piece at each of them.
        songs: the two themselves, as training would have seen them.
    """

    places: list[float]
    scores: list[Score]
    songs: tuple[Score, Score]


def interpolate(
    loaded: Loaded,
    one: Path | Score,
    other: Path | Score,
    *,
    steps: int = 7,
    keep: Collection[str] = (),
    seed: int = 0,
    temperature: float | None = None,
    shift: Latents | None = None,
) -> Interpolation:
    """Pieces whose latents lie between those of two songs, and their lengths likewise; see `between`.

    Args:
        loaded: a model with latents.
        one: song at place 0.
        other: song at place 1.
        steps: pieces, the ends among them.
        keep: levels that stay those of `one`.
        seed: of all of them, so that they differ by their latents alone.
        temperature: 0 takes the likeliest id each time; the profile's where None.
        shift: level → (size,), added to all latents there.

    Raises:
        UsageError: the model has no latents or no such level, or there are fewer than two steps.
        Rejected: a song cannot be used.
    """
    require_latents(loaded)
    songs = [load_song(song, loaded.codec, preprocess=loaded.preprocess) for song in (one, other)]
    first, last = (told_song(encoded, loaded.codec) for _, encoded in songs)
    source = LatentSource(
        loaded.model, context=loaded.profile.data.seq_len, prompt=[BOS], like=first, toward=last, keep=keep, shift=shift
    )
    way = places(steps)
    lengths = elapsed_steps(first), elapsed_steps(last)
    scores = decode(
        loaded,
        [source(seed, place) for place in way],
        steps=[round((1 - place) * lengths[0] + place * lengths[1]) for place in way],
        seeds=[seed] * steps,
        temperature=temperature,
    )
    return Interpolation(way, scores, (songs[0][0], songs[1][0]))

"""Is there as much more of an attribute as was asked for?

    python -m benchmarks.attributes RUN [--pieces 64] [--draws 4] [--beats 32] [--like] [--json FILE]

For each attribute pieces are made with amounts spread evenly from −2 to +2 deviations, from latents of the prior or
with --like of excerpts of held-out songs; each one's latents are decoded several times with different seeds and the
measured attribute is averaged. With --like what counts is the change from the same latents without any amount, and
"ceiling" is how well the songs' own attributes come back through their latents: no direction can do better.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.interpolation import SKIPPED_BEATS, excerpts
from numpy.typing import NDArray
from scipy.stats import spearmanr

from aurl.generation.generate import using_threads
from aurl.generation.load import BEST, Loaded, choose_device, load_run
from aurl.generation.source import LatentSource
from aurl.latent.decoding import decode
from aurl.latent.directions import ensure_directions
from aurl.latent.smoothness import averaged, heard
from aurl.tokens.vocabulary import BOS, STEPS_PER_BEAT

FURTHEST = 2.0
Floats = NDArray[np.float64]


class Maker:
    """Makes pieces and measures them.

    Args:
        loaded: a model with latents.
        songs: ids of one for each piece; None: of the prior.
        pieces: how many.
        draws: how often each is decoded.
        beats: of each.
    """

    def __init__(
        self, loaded: Loaded, songs: Sequence[list[int]] | None, *, pieces: int, draws: int, beats: int
    ) -> None:
        self.loaded, self.songs, self.pieces, self.draws, self.beats = loaded, songs, pieces, draws, beats
        self.directions = ensure_directions(loaded)

    def make(self, name: str | None, amounts: Floats) -> list[dict[str, float]]:
        """Measured attributes of each piece."""
        latents = []
        for number, amount in enumerate(amounts):
            source = LatentSource(
                self.loaded.model,
                context=self.loaded.profile.data.seq_len,
                prompt=[BOS],
                like=None if self.songs is None else self.songs[number],
                shift=None if name is None else self.directions.shift({name: float(amount)}),
            )
            latents += [source(number)] * self.draws
        seeds = [number * self.draws + draw for number in range(self.pieces) for draw in range(self.draws)]
        steps = [self.beats * STEPS_PER_BEAT] * len(seeds)
        found = [heard(score, self.loaded.codec) for score in decode(self.loaded, latents, steps=steps, seeds=seeds)]
        return [averaged(found[first : first + self.draws]) for first in range(0, len(found), self.draws)]


def follow(asked: Floats, found: Floats) -> dict[str, float]:
    """How what was found follows what was asked for."""
    known = np.isfinite(found)
    return {
        "spearman": float(spearmanr(asked[known], found[known])[0]),
        "slope": float(np.polyfit(asked[known], found[known], 1)[0]),
    }


def measure(loaded: Loaded, *, pieces: int, draws: int, beats: int, like: bool, names: Sequence[str]) -> dict[str, Any]:
    songs = excerpts(loaded, count=pieces, beats=beats) if like else None
    maker = Maker(loaded, songs, pieces=len(songs) if songs else pieces, draws=draws, beats=beats)
    amounts = np.random.default_rng(0).permutation(np.linspace(-FURTHEST, FURTHEST, maker.pieces))
    plain = maker.make(None, amounts) if songs else None
    real = [heard(loaded.codec.decode(np.array(ids)), loaded.codec) for ids in songs or ()]
    result: dict[str, Any] = {}
    for name in names or maker.directions.attributes:
        fact = maker.directions.facts[name]
        if not fact.says_something:
            continue
        made = maker.make(name, amounts)
        column = np.array([one[name] for one in made]) / fact.deviation
        if plain is not None:
            column -= np.array([one[name] for one in plain]) / fact.deviation
        result[name] = follow(amounts, column) | {"r2": {level: one.r2 for level, one in fact.levels.items()}}
        if plain is not None:
            own, came = (np.array([one[name] for one in part]) / fact.deviation for part in (real, plain))
            result[name]["ceiling"] = follow(own, came)
        print(name, json.dumps(result[name]), flush=True)
    return {"run": str(loaded.run), "step": loaded.step, "pieces": maker.pieces, "draws": draws, "attributes": result}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pieces", type=int, default=64)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--beats", type=int, default=32)
    parser.add_argument("--like", action="store_true", help=f"excerpts behind {SKIPPED_BEATS} beats of held-out songs")
    parser.add_argument("--attribute", action="append", default=[])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    loaded = load_run(args.run, checkpoint=BEST, device=choose_device())
    with using_threads(1):
        result = measure(
            loaded, pieces=args.pieces, draws=args.draws, beats=args.beats, like=args.like, names=args.attribute
        )
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

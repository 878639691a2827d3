"""How evenly does music change between two songs, and do the ends come back?

    python -m benchmarks.interpolation RUN [--pairs 40] [--beats 16] [--steps 7] [--seeds 3] [--json FILE]

Excerpts of held-out pieces, each beside one of another piece, are encoded, and decoded from nothing at every step of
the way: taking the likeliest id each time, and drawn, the measured factors averaged over some seeds. Of every factor
in which the ends of a way differ by half a deviation of the training set: on what share of the ways does it change
monotonically? "of the songs" takes the ways on which the songs themselves differ so far and the same way round. The
ends are compared with the excerpts note by note, and, for comparison, with another one.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aurl.data.dataset import open_dataset
from aurl.evaluation.reconstruction import note_match
from aurl.generation.generate import using_threads
from aurl.generation.interpolation import places
from aurl.generation.load import BEST, Loaded, choose_device, load_run
from aurl.generation.source import LatentSource
from aurl.latent.codes_kept import load_codes
from aurl.latent.decoding import decode
from aurl.latent.smoothness import LEAST_CHANGE, Smoothness, averaged, heard, monotone_share, smoothness
from aurl.midi.score import Score
from aurl.preprocess.excerpt import excerpt
from aurl.storage import read_json
from aurl.tokens.vocabulary import BOS, STEPS_PER_BEAT

SKIPPED_BEATS = 16
"""Introductions are left out."""
GREEDY, DRAWN = 0.0, 1.0
Heard = dict[str, float]
Way = list[Heard]


def excerpts(loaded: Loaded, *, count: int, beats: int) -> list[list[int]]:
    """Ids of passages from all over the valid split."""
    found: list[list[int]] = []
    for ids in open_dataset(Path(read_json(loaded.run / "run.json")["dataset"])).pieces("valid"):
        score = loaded.codec.decode(ids)
        begin = SKIPPED_BEATS * score.ticks_per_beat
        end = begin + beats * score.ticks_per_beat
        if score.end_tick >= end and len(found) < count:
            found.append(loaded.codec.encode(excerpt(score, begin, end)[0]).ids.tolist())
    return found


def walk(
    loaded: Loaded,
    pairs: Sequence[tuple[list[int], list[int]]],
    *,
    beats: int,
    steps: int,
    seed: int,
    temperature: float,
) -> list[list[Score]]:
    """The pieces of each way."""
    latents = []
    for one, other in pairs:
        source = LatentSource(loaded.model, context=loaded.profile.data.seq_len, prompt=[BOS], like=one, toward=other)
        latents += [source(seed, place) for place in places(steps)]
    count = len(latents)
    length = [beats * STEPS_PER_BEAT] * count
    scores = decode(loaded, latents, steps=length, seeds=[seed] * count, temperature=temperature)
    return [scores[first : first + steps] for first in range(0, count, steps)]


def agreement(loaded: Loaded, pairs: Sequence[tuple[list[int], list[int]]], ways: Sequence[Sequence[Score]]) -> Heard:
    """Mean note F1 of both ends with their excerpts, and with each other's."""
    songs = [[loaded.codec.decode(np.array(ids)) for ids in pair] for pair in pairs]
    own = [
        note_match(song, way[end]).f1
        for pair, way in zip(songs, ways, strict=True)
        for song, end in zip(pair, (0, -1), strict=True)
    ]
    other = [
        note_match(song, way[end]).f1
        for pair, way in zip(songs, ways, strict=True)
        for song, end in zip(pair, (-1, 0), strict=True)
    ]
    return {"f1": float(np.mean(own)), "f1_of_another": float(np.mean(other))}


def summary(ways: Sequence[Way], real: Sequence[Way], deviations: Heard) -> dict[str, Any]:
    """What all ways come to."""
    found = [smoothness(way, deviations) for way in ways]
    asked = [_as_the_songs(one, pair, deviations) for one, pair in zip(found, real, strict=True)]
    courses = [course for one in found for course in one.courses.values()]
    asked_courses = [course for one in asked for course in one.courses.values()]
    return {
        "ways": len(found),
        "courses": len(courses),
        "monotone": float(np.mean([course.is_monotone for course in courses])),
        "rank": float(np.mean([course.rank for course in courses])),
        "detour": float(np.nanmedian([one.detour for one in found])),
        "by_factor": monotone_share(found),
        "changing": Counter(name for one in found for name in one.courses),
        "of_the_songs": {
            "courses": len(asked_courses),
            "monotone": float(np.mean([course.is_monotone for course in asked_courses])),
            "by_factor": monotone_share(asked),
        },
    }


def _as_the_songs(found: Smoothness, pair: Way, deviations: Heard) -> Smoothness:
    """The courses of factors in which the songs differ as the ends do."""
    change = {name: (pair[1][name] - pair[0][name]) / deviation for name, deviation in deviations.items()}
    kept = {
        name: course
        for name, course in found.courses.items()
        if abs(change[name]) >= LEAST_CHANGE and change[name] * course.change > 0
    }
    return Smoothness(kept, found.detour)


def measure(run: Path, *, pairs: int, beats: int, steps: int, seeds: int, windows: int) -> dict[str, Any]:
    loaded = load_run(run, checkpoint=BEST, device=choose_device())
    measured = load_codes(loaded, split="train", limit=windows).levels["global"].measured
    deviations = {name: float(np.nanstd(values)) for name, values in measured.items()}
    songs = excerpts(loaded, count=pairs, beats=beats)
    beside = list(zip(songs, [*songs[len(songs) // 2 :], *songs[: len(songs) // 2]], strict=True))
    real = [[heard(loaded.codec.decode(np.array(ids)), loaded.codec) for ids in pair] for pair in beside]
    result: dict[str, Any] = {
        "run": str(run),
        "step": loaded.step,
        "pairs": len(beside),
        "beats": beats,
        "steps": steps,
    }
    for name, temperature, count in (("likeliest", GREEDY, 1), ("drawn", DRAWN, seeds)):
        made = [
            walk(loaded, beside, beats=beats, steps=steps, seed=seed, temperature=temperature) for seed in range(count)
        ]
        tones = [[[heard(score, loaded.codec) for score in way] for way in ways] for ways in made]
        mean = [[averaged(place) for place in zip(*way, strict=True)] for way in zip(*tones, strict=True)]
        result[name] = {**agreement(loaded, beside, made[0]), **summary(mean, real, deviations)}
        print(name, json.dumps(result[name]), flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--beats", type=int, default=16)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--windows", type=int, default=1024)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with using_threads(1):
        result = measure(
            args.run, pairs=args.pairs, beats=args.beats, steps=args.steps, seeds=args.seeds, windows=args.windows
        )
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

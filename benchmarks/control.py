"""Does new music become what was asked? `python -m benchmarks.control RUN [--pieces 200] [--seconds 20]`.

RUN was trained with `controls.facts` and `controls.chords`. Each piece is asked for a density, a polyphony, a register,
dynamics, a key, a tempo and a range of pitches, all drawn independently of each other: numbers from where nine windows
of POP909 in ten lie. What became of it is measured on the finished piece. Rows are ways to ask:

- `told`: the model is told, and that is all.
- `guided`: and drawn to it by classifier-free guidance of 1.5.
- `steered`: told, and led back where it strays; the default of `aurl generate`.
- `both`.

Columns: Spearman's rank correlation of asked and realised with a 95 % bootstrap interval; the share of pieces in the
key that was asked, and in it or its relative; nats per token of the model that is told. Then chords: the share of the
sounding time that is on tones of the chord that was asked for at that time, in pieces that were asked for a round of
four chords and in pieces that were not.
"""

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from aurl.augment.passage import Passage
from aurl.controls.facts import MEASURES, fact_value
from aurl.controls.told import Heard
from aurl.generation.context import header_length
from aurl.generation.load import Loaded, load_run
from aurl.generation.pieces import Piece, make_pieces
from aurl.generation.request import Request
from aurl.generation.wishes import Wishes
from aurl.studies.names import parse_chords
from aurl.studies.pitch_classes import KEYS, chord_tones, key_value
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import STEPS_PER_BEAT

RANGES = {"density": (2.6, 8.3), "polyphony": (2.9, 4.9), "register": (58.5, 68.4), "dynamics": (2.5, 4.4)}
LOGARITHMIC = ("density", "polyphony")
WAYS: dict[str, dict[str, Any]] = {
    "told": {"steering": 0.0, "guidance": 1.0},
    "guided": {"steering": 0.0, "guidance": 1.5},
    "steered": {"steering": 1.0, "guidance": 1.0},
    "both": {"steering": 1.0, "guidance": 1.5},
}
ROUNDS = ("C Am F G", "Am F C G", "F G Em Am", "C G Am F", "Dm G C Am", "G D Em C", "D A Bm G", "Bb F Gm Eb")
BEATS_IN_BAR = 4
RESAMPLES = 1000
Row = dict[str, float]


def drawn(rng: np.random.Generator) -> tuple[Wishes, tuple[int, int]]:
    """What one piece is asked for, and its lowest and highest pitch."""
    facts: dict[Any, float] = {}
    for name, (low, high) in RANGES.items():
        is_log = name in LOGARITHMIC
        facts[name] = math.exp(rng.uniform(math.log(low), math.log(high))) if is_log else rng.uniform(low, high)
    key = key_value(int(rng.integers(12)), bool(rng.integers(2)))
    middle = facts["register"]
    span = int(middle - rng.integers(14, 28)), int(middle + rng.integers(12, 22))
    return Wishes(facts=facts, key=key, tempo=float(rng.uniform(60, 160))), span


def make(loaded: Loaded, request: Request) -> list[Piece]:
    return make_pieces(
        loaded.model,
        loaded.codec,
        request,
        context=loaded.profile.data.seq_len,
        defaults=loaded.profile.generation,
    )


def heard(piece: Piece, codec: Codec) -> Heard:
    return Heard.of(Passage(piece.ids, header_length(piece.ids.tolist()), 1), codec)


def one(loaded: Loaded, way: str, seed: int, seconds: float) -> tuple[Row, Row, Row]:
    """Asked, realised, and what else is to be known of one piece."""
    wishes, (low, high) = drawn(np.random.default_rng(seed))
    limits = ({"kind": "range", "lowest": low, "highest": high},)
    (piece,) = make(loaded, Request(seed=seed, seconds=seconds, wishes=wishes, constraints=limits, **WAYS[way]))
    music = heard(piece, loaded.codec)
    asked: Row = {**dict(wishes.facts.items()), "tempo": wishes.tempo or 0, "lowest": low, "highest": high}
    pitches = music.played.pitch
    realised: Row = {
        **{name: measure(music.played) or math.nan for name, measure in MEASURES.items()},
        "tempo": 60e6 / float(piece.score.tempos.microseconds_per_beat[0]),
        "lowest": float(pitches.min()),
        "highest": float(pitches.max()),
    }
    found, key = fact_value("key", music.played), wishes.key
    relative = found is not None and key is not None and is_near(found, key)
    more = {"key": float(found == key), "key_or_relative": float(relative), "nats": piece.nats_per_token}
    return asked, realised, more


def is_near(found: int, asked: int) -> bool:
    """The same key, or the one with the same notes."""
    return KEYS[found][0] == KEYS[asked][0]


def correlation(asked: NDArray[Any], realised: NDArray[Any]) -> tuple[float, float, float]:
    """Spearman's, and the middle 95 % of it over resampled pieces."""
    rng = np.random.default_rng(0)
    draws = rng.integers(len(asked), size=(RESAMPLES, len(asked)))
    values = [float(spearmanr(asked[draw], realised[draw]).statistic) for draw in draws]
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(spearmanr(asked, realised).statistic), float(low), float(high)


def control(loaded: Loaded, way: str, pieces: int, seconds: float) -> dict[str, Any]:
    columns = [one(loaded, way, seed, seconds) for seed in range(pieces)]
    asked, realised, more = (
        {name: np.array([row[name] for row in rows]) for name in rows[0]} for rows in zip(*columns, strict=True)
    )
    result: dict[str, Any] = {name: correlation(asked[name], realised[name]) for name in asked}
    return result | {name: float(values.mean()) for name, values in more.items()}


def chord_share(piece: Piece, codec: Codec, chords: tuple[int, ...]) -> tuple[float, float]:
    """Note steps on tones of the chord of their bar, and all."""
    played, tones = heard(piece, codec).played, chord_tones()
    bar = BEATS_IN_BAR * STEPS_PER_BEAT
    on = total = 0.0
    for onset, offset, pitch in zip(played.onset.tolist(), played.offset.tolist(), played.pitch.tolist(), strict=True):
        chord = chords[onset // bar % len(chords)]
        until = min(offset, (onset // bar + 1) * bar)
        on, total = on + (until - onset) * bool(tones[chord, pitch % 12]), total + until - onset
    return on, total


def chords(loaded: Loaded, pieces: int, bars: int = 16) -> dict[str, float]:
    shares: dict[str, list[float]] = {"asked": [], "guided": [], "unasked": []}
    for seed in range(pieces):
        wanted = parse_chords(ROUNDS[seed % len(ROUNDS)])
        told = Wishes(chords=wanted, meter=(4, 4))
        requests = {
            "asked": Request(seed=seed, bars=bars, wishes=told),
            "guided": Request(seed=seed, bars=bars, wishes=told, guidance=2.0),
            "unasked": Request(seed=seed, bars=bars, wishes=replace(told, chords=())),
        }
        for name, request in requests.items():
            on, total = chord_share(make(loaded, request)[0], loaded.codec, wanted)
            shares[name].append(on / max(total, 1))
    return {name: float(np.median(values)) for name, values in shares.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pieces", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--chord-pieces", type=int, default=64)
    parser.add_argument("--checkpoint", default="best")
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load_run(options.run, checkpoint=options.checkpoint)
    for way in options.ways:
        print(json.dumps({"way": way, **control(loaded, way, options.pieces, options.seconds)}), flush=True)
    if options.chord_pieces:
        print(json.dumps({"chords": chords(loaded, options.chord_pieces)}), flush=True)


if __name__ == "__main__":
    main()

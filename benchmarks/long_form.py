"""Do pieces of three minutes hang together? `python -m benchmarks.long_form RUN --folder DIR --count 8`

Rows are held-out songs of the run's data set; pieces as `aurl generate` makes them, whose latents are carried on; the
same with latents drawn anew whenever the window is read anew, so that nothing is held for longer than the window; and
pieces in a form. Structureness: `aurl.evaluation.scape`; similarity of bars and drift: `aurl.evaluation.structure`.
Medians and 90 % bootstrap intervals over pieces; drift without its sign.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from benchmarks.latents_held_out import dataset_of
from benchmarks.latents_music import Songs, show
from numpy.typing import NDArray
from torch import Tensor

from aurl.evaluation.scape import structureness
from aurl.evaluation.structure import LAGS, bar_similarity, drift
from aurl.generation.engine import Engine
from aurl.generation.form import Form, Sections
from aurl.generation.latents import PieceLatents
from aurl.generation.length import length_rule
from aurl.generation.load import Loaded, load_run
from aurl.generation.sampling.sampler import Sampler
from aurl.generation.source import LatentSource
from aurl.midi.clock import ticks_at
from aurl.midi.score import Score
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.preprocess.excerpt import excerpt
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import STEPS_PER_BEAT

SECONDS = 180.0
RESAMPLES, INTERVAL = 2000, (5, 95)


class Redrawn:
    """Latents of which nothing is kept: each window that is read has its own."""

    def __init__(self, model: MusicTransformerVAEGAN, seed: int) -> None:
        self._model, self._seed = model, seed

    def stream(self, begin: int, count: int) -> Tensor:
        return PieceLatents(self._model, hash((self._seed, begin)) % 2**31).stream(begin, count)


def engine_of(loaded: Loaded) -> Engine:
    defaults = loaded.profile.generation
    return Engine(
        loaded.model,
        Grammar.of(loaded.codec, allow_zero_length=False),
        sampler=Sampler(temperature=defaults.temperature, top_p=defaults.top_p),
        context=loaded.profile.data.seq_len,
        max_note_steps=round(defaults.max_note_beats * STEPS_PER_BEAT) or None,
    )


def played(loaded: Loaded, latents: Callable[[int], object], seeds: Sequence[int]) -> list[Score]:
    """Pieces as the engine makes them."""
    batch = engine_of(loaded).start(
        seeds=seeds,
        length=length_rule(loaded.codec, seconds=SECONDS),
        may_end=False,
        latents=latents,  # type: ignore[arg-type]
    )
    for _ in batch:
        pass
    return [loaded.codec.decode(np.array(piece.ids, np.uint16)) for piece in batch.pieces]


def after(loaded: Loaded, ids: Sequence[int]) -> LatentSource:
    return LatentSource(loaded.model, context=loaded.profile.data.seq_len, prompt=ids)


def formed(loaded: Loaded, form: Form, seeds: Sequence[int]) -> list[Score]:
    latents = partial(after, loaded) if loaded.model.levels else None
    sections = Sections(engine_of(loaded), loaded.codec, form, latents=latents)
    return [loaded.codec.decode(np.array(sections.make(seed).ids, np.uint16)) for seed in seeds]


def beginning(score: Score) -> Score:
    return excerpt(score, 0, int(ticks_at(score, [SECONDS])[0]))[0]


def measured(score: Score) -> dict[str, float]:
    found = dict(zip((f"bars {lag}" for lag in LAGS), bar_similarity(score), strict=True))
    found |= {f"drift of {name}": abs(value) for name, value in drift(score)._asdict().items()}
    found |= {f"structure {name}": value for name, value in structureness(score)._asdict().items()}
    return {name: float(value) for name, value in found.items()}


def summary(values: NDArray[np.float64]) -> str:
    """Median and bootstrap interval."""
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values)))
    low, high = np.nanpercentile(np.nanmedian(drawn, axis=1), INTERVAL)
    return f"{np.nanmedian(values):.2f} ({low:.2f}–{high:.2f})"


def table(rows: Mapping[str, Iterable[Mapping[str, float]]]) -> str:
    lists = {name: list(measures) for name, measures in rows.items()}
    lines = ["| | " + " | ".join(lists) + " |", "|---" * (len(lists) + 1) + "|"]
    for measure in next(iter(lists.values()))[0]:
        cells = [summary(np.array([piece[measure] for piece in pieces])) for pieces in lists.values()]
        lines.append(f"| {measure} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--form", default="AABACABADAAB", help="of eight bars each")
    parser.add_argument("--rows", nargs="*", help="only these")
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load_run(options.run)
    seeds = range(options.count)
    makers: dict[str, Callable[[], list[Score]]] = {
        "real": lambda: Songs.of(dataset_of(options.run), options.count).scores(),
        "carried on": lambda: played(loaded, partial(PieceLatents, loaded.model), seeds),
        "drawn anew": lambda: played(loaded, partial(Redrawn, loaded.model), seeds),
        options.form: lambda: formed(loaded, Form(options.form), seeds),
    }
    options.folder.mkdir(parents=True, exist_ok=True)
    scores: dict[str, list[Score]] = {}
    found: dict[str, list[dict[str, float]]] = {}
    for name, make in makers.items():
        if options.rows and name not in options.rows:
            continue
        scores[name] = [beginning(score) for score in make()]
        found[name] = [measured(score) for score in scores[name]]
        (options.folder / "measures.json").write_text(json.dumps(found))
        print(table({name: found[name]}), flush=True)
    show(options.folder, scores)
    print(table(found))


if __name__ == "__main__":
    main()

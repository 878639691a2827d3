"""What each way of choosing ids makes of a run: `python -m benchmarks.sampling RUN [--pieces 16] [--bars 8]`.

Each line is the median over pieces of the same seeds, and so of the same latents; the first is held-out songs from
their middle on, as long as the pieces:

- `nats`: mean surprise of the model by an id, at temperature 1 and with nothing masked.
- `again`: share of the runs of four pitches that were played in the piece before, whatever their rhythm.
- `others`: share of the runs of four pitches that another piece of the line plays too.
- `notes`: onsets per beat; `voices`: mean number of pitches that sound together.
- `pitches`: how many different ones there are.
- `ids/s`: of all pieces together, on the processor time of one thread.

Then what each kind of filter costs: microseconds of a call for 1 and for 16 rows of 1,000 ids each, beside a whole
step of the engine.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from benchmarks.latents_music import Songs, show

from aurl.evaluation.metrics import note_density, polyphony
from aurl.generation.beam import Beam
from aurl.generation.engine import Engine
from aurl.generation.load import Loaded, load_run
from aurl.generation.pieces import make_pieces
from aurl.generation.request import Request
from aurl.generation.sampling import FILTERS
from aurl.generation.sampling.sampler import Sampler
from aurl.midi.clock import bar_ticks
from aurl.midi.score import Score
from aurl.preprocess.excerpt import excerpt
from aurl.storage import read_json
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import NOTE_ON

RUN = 4
ROWS = (1, 16)
HISTORY = 1000
CALLS = 40
OPTIONS = {"kind_temperature": {"note_on": 1.3, "time_shift": 0.7}}
"""Of kinds that do nothing by themselves."""
ALL = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
DULL = {"filters": ({"kind": "repetition", "penalty": 1.3}, {"kind": "no_repeat", "size": 6, "times": 2})}
WAYS: dict[str, dict[str, Any]] = {
    "temperature 0": {"temperature": 0.0},
    "temperature 0.8": {"temperature": 0.8},
    "temperature 1": {},
    "temperature 1.2": {"temperature": 1.2},
    "top-p 0.9": {"top_p": 0.9},
    "top-k 20": {"top_k": 20},
    "min-p 0.05": {"min_p": 0.05},
    "min-p 0.05, temperature 1.2": {"min_p": 0.05, "temperature": 1.2},
    "typical 0.9": {"filters": ({"kind": "typical", "mass": 0.9},)},
    "typical 0.5": {"filters": ({"kind": "typical", "mass": 0.5},)},
    "eta 0.02": {"filters": ({"kind": "eta", "epsilon": 0.02},)},
    "pitches 1.3, times 0.7": {"filters": ({"kind": "kind_temperature", "note_on": 1.3, "time_shift": 0.7},)},
    "pitches 0.7, times 1.3": {"filters": ({"kind": "kind_temperature", "note_on": 0.7, "time_shift": 1.3},)},
    "repetition 1.2": {"filters": ({"kind": "repetition"},)},
    "no repeat 6, twice": {"filters": ({"kind": "no_repeat", "size": 6, "times": 2},)},
    "beam 4": {"beam": Beam(width=4)},
    "beam 8": {"beam": Beam(width=8)},
    "beam 8, 4 groups": {"beam": Beam(width=8, groups=4, diversity=1.0)},
    "beam 8, no penalty of length": {"beam": Beam(width=8, length_penalty=0.0)},
    "beam 8, repetition 1.3, no repeat 6": {"beam": Beam(width=8), **DULL},
}


@dataclass(frozen=True)
class Line:
    """What one way of choosing ids makes."""

    scores: Sequence[Score]
    ids: Sequence[Sequence[int]]
    nats: Sequence[float] = ()
    rate: float = float("nan")

    def figures(self) -> dict[str, float]:
        runs = [runs_of(ids) for ids in self.ids]
        players = Counter(run for piece in runs for run in set(piece))
        return {
            "nats": median(self.nats) if self.nats else float("nan"),
            "again": median(1 - len(set(piece)) / max(len(piece), 1) for piece in runs),
            "others": median(float(np.mean([players[run] > 1 for run in piece])) if piece else 0.0 for piece in runs),
            "notes": median(note_density(score) for score in self.scores),
            "voices": median(polyphony(score) for score in self.scores),
            "pitches": median(len({token for token in ids if token < NOTE_ON.stop}) for ids in self.ids),
            "ids/s": self.rate,
        }


def runs_of(ids: Sequence[int]) -> list[tuple[int, ...]]:
    """All runs of pitches of a piece, one for each note but the first three."""
    pitches = [token for token in ids if NOTE_ON.start <= token < NOTE_ON.stop]
    return [tuple(pitches[place : place + RUN]) for place in range(len(pitches) - RUN + 1)]


def real(codec: Codec, dataset: Path, count: int, bars: int) -> Line:
    """Held-out songs from the bar in their middle on."""
    scores = [_first(score, bars) for score in Songs.of(dataset, count).from_the_middle().scores()]
    return Line(scores, [codec.encode(score).ids.tolist() for score in scores])


def _first(score: Score, bars: int) -> Score:
    ticks = bar_ticks(score, score.end_tick)
    return excerpt(score, 0, int(ticks[bars]) if bars < len(ticks) else score.end_tick)[0]


def made(loaded: Loaded, way: Mapping[str, Any], count: int, bars: int) -> Line:
    """Pieces that are chosen in one way."""
    drawn = {} if "beam" in way else ALL
    request = Request(count=count, seed=0, bars=bars, **(drawn | way))
    section = loaded.profile
    begin = time.thread_time()
    pieces = make_pieces(loaded.model, loaded.codec, request, context=section.data.seq_len, defaults=section.generation)
    seconds = time.thread_time() - begin
    ids = [piece.ids.tolist() for piece in pieces]
    rate = sum(map(len, ids)) / seconds
    return Line([piece.score for piece in pieces], ids, [piece.nats_per_token for piece in pieces], rate)


def costs(loaded: Loaded) -> dict[int, dict[str, float]]:
    """Rows → kind of filter → microseconds of a call, and those of a whole step without any."""
    return {rows: _costs(loaded, rows) for rows in ROWS}


def _costs(loaded: Loaded, rows: int) -> dict[str, float]:
    batch = _grown(loaded, rows)
    histories = [piece.ids for piece in batch.pieces]
    logits = torch.randn(rows, loaded.codec.vocabulary_size, generator=torch.Generator().manual_seed(0)) * 3
    filters = {kind: FILTERS.build(kind, **OPTIONS.get(kind, {})) for kind in FILTERS.kinds()}
    events = iter(batch)
    calls: dict[str, Callable[[], Any]] = {
        **{kind: partial(one, logits, histories) for kind, one in filters.items()},
        "a whole step": lambda: [next(events) for _ in range(rows)],
    }
    return {name: _timed(call) for name, call in calls.items()}


def _grown(loaded: Loaded, rows: int) -> Any:
    """A batch whose pieces have so many ids already, all the same."""
    grammar = Grammar.of(loaded.codec, allow_zero_length=False)
    context = 2 * loaded.profile.data.seq_len
    first = Engine(loaded.model, grammar, context=context).start(max_tokens=HISTORY, may_end=False)
    for _ in first:
        pass
    prompt = first.pieces[0].ids[:HISTORY]
    return Engine(loaded.model, grammar, context=context, sampler=Sampler()).start(
        prompt, seeds=range(rows), may_end=False
    )


def _timed(call: Callable[[], Any]) -> float:
    call()
    times = []
    for _ in range(CALLS):
        begin = time.thread_time_ns()
        call()
        times.append((time.thread_time_ns() - begin) / 1000)
    return median(times)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pieces", type=int, default=16)
    parser.add_argument("--bars", type=int, default=8)
    parser.add_argument("--only", default="", help="lines whose names contain this")
    parser.add_argument("--pictures", type=Path, default=None, help="folder for MIDI and pictures of the first pieces")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load_run(options.run)
    dataset = Path(read_json(options.run / "run.json")["dataset"])
    lines = {"songs": real(loaded.codec, dataset, options.pieces, options.bars)}
    names = list(lines["songs"].figures())
    print(f"{'':36}" + "".join(f"{name:>9}" for name in names), flush=True)
    figures = {}
    for name in ("songs", *(way for way in WAYS if options.only in way)):
        line = lines[name] = lines.get(name) or made(loaded, WAYS[name], options.pieces, options.bars)
        figures[name] = line.figures()
        print(f"{name:36}" + "".join(f"{value:9.3g}" for value in figures[name].values()), flush=True)
    if options.pictures:
        show(options.pictures, {name: line.scores for name, line in lines.items()})
    cost = costs(loaded)
    for kind in cost[ROWS[0]]:
        print(f"{kind:20}" + "".join(f"{cost[rows][kind]:9.0f} µs for {rows} rows" for rows in ROWS))
    if options.json:
        options.json.write_text(json.dumps({"lines": figures, "microseconds": cost}, indent=1))


if __name__ == "__main__":
    main()

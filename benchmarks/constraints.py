"""Do pieces keep to what they were asked to? `python -m benchmarks.constraints RUN [--pieces 1000] [--seconds 8]`.

A run makes pieces with every constraint alone and with all of them, each with every sampler in turn, and the same
number without any, on one thread. For each constraint:

- `pieces`, and how many of them have a `fault`: an id that the grammar forbids, a note that nobody ended (`dangling`),
  or a place where a constraint is `broken` by its own checker.
- `free`: how many of the pieces made without it break it.
- `unkept`: for how many batches the constraints had to be forgotten for an id.
- `notes/s` of processor time, and its `ratio` to that of pieces made without constraints; the mean `nats` of an id
  under the model as it is.

With `--rolls FOLDER` piano rolls of one seed with and without each constraint are written there.
"""

import argparse
import json
import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aurl.export.picture import picture
from aurl.generation.constraints import CONSTRAINTS
from aurl.generation.load import Loaded, load_run
from aurl.generation.pieces import Piece, make_pieces
from aurl.generation.request import Request
from aurl.generation.sampling import FILTERS
from aurl.midi.score import Score
from aurl.storage import read_json
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import NOTE_OFF, NOTE_ON

BATCH = 16
FREE, ALL = "none", "all"
OPTIONS: dict[str, dict[str, Any]] = {
    "density": {"most": 4.0, "least": 1.0},
    "grid": {"grid": "1/8"},
    "no_copy": {"notes": 8},
    "polyphony": {"voices": 4},
    "range": {"lowest": 48, "highest": 79},
    "scale": {"key": "C minor"},
}
PLAIN: dict[str, dict[str, Any]] = {
    "temperature": {"temperature": 1.1, "top_p": 1.0},
    "top_k": {"top_k": 20, "top_p": 1.0},
    "top_p": {"top_p": 0.9},
    "min_p": {"min_p": 0.05, "top_p": 1.0},
}

Component = dict[str, Any]


class Warnings(logging.Handler):
    """Counts what is said of constraints that could not be kept."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += "left nothing to follow" in record.getMessage()


def samplers() -> list[dict[str, Any]]:
    """Arguments of a request, one set for each way to sample."""
    return [*PLAIN.values(), *({"filters": ({"kind": kind},)} for kind in FILTERS.kinds())]


def rules(run: Path) -> dict[str, tuple[Component, ...]]:
    """Name → constraints: none, each alone, all."""
    known = {kind: {"kind": kind, **OPTIONS[kind]} for kind in CONSTRAINTS.kinds()}
    known["no_copy"]["data"] = str(read_json(run / "run.json")["dataset"])
    return {FREE: (), **{kind: (one,) for kind, one in known.items()}, ALL: tuple(known.values())}


def make(loaded: Loaded, constraints: Sequence[Component], seconds: float, seed: int, **options: Any) -> list[Piece]:
    request = Request(count=BATCH, seed=seed, seconds=seconds, constraints=tuple(constraints), **options)
    profile = loaded.profile
    return make_pieces(loaded.model, loaded.codec, request, context=profile.data.seq_len, defaults=profile.generation)


def dangling(ids: Sequence[int]) -> int:
    """How many more notes begin than end."""
    return sum(one < NOTE_ON.stop for one in ids) - sum(NOTE_OFF.start <= one < NOTE_OFF.stop for one in ids)


def measure(
    loaded: Loaded, constraints: Sequence[Component], batches: int, seconds: float
) -> tuple[Mapping[str, float], list[Score]]:
    """Sums over all pieces, and the pieces."""
    grammar, found, scores = Grammar.of(loaded.codec), defaultdict[str, float](float), list[Score]()
    ways = samplers()
    for number in range(batches):
        begin = time.process_time()
        pieces = make(loaded, constraints, seconds, BATCH * number, **ways[number % len(ways)])
        found["cpu"] += time.process_time() - begin
        for piece in pieces:
            ids = piece.ids.tolist()
            found["pieces"] += 1
            found["illegal"] += len(grammar.check(ids))
            found["dangling"] += dangling(ids)
            found["broken"] += len(piece.broken)
            found["notes"] += piece.score.note_count
            found["nats"] += piece.nats
            found["sampled"] += piece.sampled
            scores.append(piece.score)
    return found, scores


def report(run: Path, pieces: int, seconds: float) -> dict[str, dict[str, float]]:
    """Name of the constraints → figures."""
    loaded, kinds, warnings = load_run(run), rules(run), Warnings()
    logging.getLogger("aurl.generation").addHandler(warnings)
    batches = -(-pieces // (BATCH * (len(kinds) - 1)))
    table: dict[str, dict[str, float]] = {}
    free: list[Score] = []
    for name, constraints in kinds.items():
        make(loaded, constraints, 1.0, 0)  # what is looked up once
        warnings.count = 0
        found, scores = measure(loaded, constraints, batches, seconds)
        free = free or scores
        checks = [CONSTRAINTS.from_component(one, loaded.codec) for one in constraints]
        table[name] = {
            **{key: found[key] for key in ("pieces", "illegal", "dangling", "broken")},
            "free": sum(any(check.broken(score) for check in checks) for score in free),
            "unkept": warnings.count,
            "notes": found["notes"] / found["pieces"],
            "notes/s": found["notes"] / found["cpu"],
            "ids/s": found["sampled"] / found["cpu"],
            "nats": found["nats"] / found["sampled"],
        }
        table[name]["ratio"] = table[name]["ids/s"] / table[FREE]["ids/s"]
        print(f"{name:12}", *(f"{key} {value:.4g}" for key, value in table[name].items()), flush=True)
    return table


def write_rolls(run: Path, folder: Path, seconds: float, seed: int) -> None:
    """Piano rolls of one seed."""
    loaded = load_run(run)
    folder.mkdir(parents=True, exist_ok=True)
    for name, constraints in rules(run).items():
        for number, piece in enumerate(make(loaded, constraints, seconds, seed)[:4]):
            (folder / f"{name}-{number}.png").write_bytes(picture(piece.score))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--pieces", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rolls", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.rolls:
        write_rolls(given.run, given.rolls, given.seconds, seed=0)
        return
    table = report(given.run, given.pieces, given.seconds)
    if given.json:
        given.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()

"""Speed of `prepare` beside MidiTok's MIDILike and REMI on the same files, in the same run.

    python -m benchmarks.prepare FOLDER [--files 0] [--repeats 5] [--json figures.json]

Every measurement is a process of its own that imports first and starts its clock then. `prepare` does all of its work:
finding, hashing, workers started and ended, pre-scan, repairs, records, shards, index, audit. MidiTok loads each file
with symusic and tokenises it, with the defaults of each tokeniser, and writes nothing. "in memory" reads and encodes
bytes that were loaded before, "encode" scores that were parsed before; MidiTok's counterpart has its scores parsed too.
Figures are medians over the repeats; ratios are medians of the ratios within each repeat.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.memory import measured

PEERS = ("MIDILike", "REMI")
CASES = ("prepare-1", "prepare-2", "in-memory", "encode", *PEERS, *(f"{peer}-parsed" for peer in PEERS))
RATIOS = {
    "prepare, one process / MIDILike": ("prepare-1", "MIDILike", 30.0),
    "prepare, two processes / MIDILike": ("prepare-2", "MIDILike", 30.0),
    "prepare, one process / REMI": ("prepare-1", "REMI", 30.0),
    "read and encode in memory / MIDILike": ("in-memory", "MIDILike", 0.0),
    "encode / MIDILike on parsed scores": ("encode", "MIDILike-parsed", 100.0),
    "encode / REMI on parsed scores": ("encode", "REMI-parsed", 0.0),
    "two processes / one": ("prepare-2", "prepare-1", 1.6),
}
"""Name → (case, beside which, goal; 0: none)."""
SECOND_RUN_GOAL = 50.0

Figures = dict[str, float]


def run_prepare(files: Sequence[str], jobs: int) -> Figures:
    """A first run and a second one over the unchanged files."""
    from aurl.data.prepare import prepare
    from aurl.profile import load_profile

    profile = load_profile(check={"preprocess", "split"})
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        result = prepare(files, profile, Path(folder, "dataset"), jobs=jobs)
        first = time.perf_counter()
        again = prepare(files, profile, Path(folder, "dataset"), jobs=jobs)
        second = time.perf_counter()
    if not again.unchanged:
        raise SystemExit("the second run found changes: some files are too new for their times to be believed")
    return {"seconds": first - start, "tokens": result.tokens, "second_seconds": second - first}


def run_in_memory(files: Sequence[str]) -> Figures:
    """Bytes → ids."""
    from aurl.midi.read import read_score
    from aurl.tokens.codec import Codec

    contents, codec, tokens = [Path(file).read_bytes() for file in files], Codec(), 0
    start = time.perf_counter()
    for content in contents:
        if (score := _or_none(lambda content=content: read_score(content).score)) is not None:
            tokens += len(codec.encode(score).ids)
    return {"seconds": time.perf_counter() - start, "tokens": tokens}


def run_encode(files: Sequence[str]) -> Figures:
    """Score → ids."""
    from aurl.midi.read import load_score
    from aurl.tokens.codec import Codec

    scores, codec = [_or_none(lambda file=file: load_score(Path(file)).score) for file in files], Codec()
    start = time.perf_counter()
    tokens = sum(len(codec.encode(score).ids) for score in scores if score is not None)
    return {"seconds": time.perf_counter() - start, "tokens": tokens}


def run_miditok(files: Sequence[str], name: str, *, parsed: bool) -> Figures:
    """File (or parsed score) → MidiTok's ids."""
    import miditok
    from symusic import Score

    tokenizer = getattr(miditok, name)()
    if parsed:
        scores = [_or_none(lambda file=file: Score(file)) for file in files]
        jobs: list[Callable[[], Any]] = [lambda score=score: tokenizer(score) for score in scores if score is not None]
    else:
        jobs = [lambda file=file: tokenizer(Score(file)) for file in files]
    tokens = 0
    start = time.perf_counter()
    for job in jobs:
        made = _or_none(job)
        tokens += sum(len(part) for part in (made if isinstance(made, list) else [made] if made is not None else []))
    return {"seconds": time.perf_counter() - start, "tokens": tokens}


def _or_none(job: Callable[[], Any]) -> Any:
    """The job's result; None where the file is of no use, whoever finds out and however."""
    try:
        return job()
    except Exception:  # noqa: BLE001 - libraries differ in what they raise
        return None


def run_case(case: str, files: Sequence[str]) -> Figures:
    """One measurement, in this process."""
    name, _, detail = case.partition("-")
    if name == "prepare":
        found = run_prepare(files, int(detail))
    elif case == "in-memory":
        found = run_in_memory(files)
    elif case == "encode":
        found = run_encode(files)
    else:
        found = run_miditok(files, name, parsed=bool(detail))
    return {**found, "files_per_second": len(files) / found["seconds"]}


def measure(case: str, listing: Path) -> Figures:
    """One measurement, in a process of its own."""
    return measured("benchmarks.prepare", ["--case", case, str(listing)])


def report(repeats: Sequence[dict[str, Figures]]) -> dict[str, Any]:
    """Print medians and ratios; returns them."""
    figures = {
        case: {name: median(repeat[case][name] for repeat in repeats) for name in repeats[0][case]} for case in CASES
    }
    print(f"{'':18}{'files/s':>10}{'tokens/s':>14}{'MiB':>8}{'MiB/worker':>12}")
    for case, found in figures.items():
        speed = f"{found['files_per_second']:>10,.0f}{found['tokens'] / found['seconds']:>14,.0f}"
        print(f"{case:18}{speed}{found['peak_mib']:>8.0f}{found['peak_worker_mib']:>12.0f}")
    ratios = {
        name: (median(repeat[case]["files_per_second"] / repeat[peer]["files_per_second"] for repeat in repeats), goal)
        for name, (case, peer, goal) in RATIOS.items()
    }
    seconds = [repeat["prepare-1"]["seconds"] / repeat["prepare-1"]["second_seconds"] for repeat in repeats]
    ratios["second run over unchanged files / first"] = (median(seconds), SECOND_RUN_GOAL)
    for name, (ratio, goal) in ratios.items():
        print(f"{name:42}{ratio:>8.1f} x" + (f"   goal {goal:g}" if goal else ""))
    return {"figures": figures, "ratios": {name: ratio for name, (ratio, _) in ratios.items()}}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of MIDI files")
    parser.add_argument("--files", type=int, default=0, help="take so many, evenly spread; 0: all")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(run_case(options.case, options.folder.read_text(encoding="utf-8").splitlines())))
        return
    from aurl.data.inputs import default_spool, find
    from aurl.midi.prescan import MAX_BYTES

    files = [source.path for source in find([options.folder], spool=default_spool(), max_bytes=MAX_BYTES).sources]
    if options.files:
        files = files[:: max(len(files) // options.files, 1)][: options.files]
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder, "files.txt")
        listing.write_text("\n".join(files), encoding="utf-8")
        repeats = [{case: measure(case, listing) for case in CASES} for _ in range(options.repeats)]
    print(f"{len(files):,} files, {options.repeats} repeats")
    found = report(repeats)
    if options.json:
        options.json.write_text(
            json.dumps({"files": len(files), "repeats": repeats, **found}, indent=1), encoding="utf-8"
        )


if __name__ == "__main__":
    main()

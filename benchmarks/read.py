"""How fast and how completely a folder is read: `python -m benchmarks.read FOLDER [--check 200] [--index INDEX.tsv]`.

Files per second of processor time, best of some rounds in turn: symusic alone, symusic with its note columns taken
out, the pre-scan, and all of `read_score`. `--check N` counts the note-ons of N files with mido and explains every
difference. `--index` compares with a table of what other parsers count (columns file, symusic, mido, pretty_midi,
miditoolkit; a count or FAIL).
"""

import argparse
import csv
import io
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mido
from symusic.core import ScoreTick

from aurl.midi.prescan import prescan
from aurl.midi.read import read_score
from aurl.midi.reasons import Rejected

SUFFIXES = {".mid", ".midi", ".kar", ".rmi", ".smf"}
PARSERS = ("symusic", "mido", "pretty_midi", "miditoolkit")


def symusic_columns(data: bytes) -> None:
    """symusic and the numpy columns of every track's notes: the least that any reader on top of it does."""
    for track in ScoreTick.from_midi(data).tracks:
        track.notes.numpy()


def taken(task: Callable[[bytes], Any], files: list[bytes]) -> float:
    """Seconds of processor time for all files; files that a parser refuses count as its work too."""
    start = time.process_time()
    for data in files:
        try:
            task(data)
        except (RuntimeError, Rejected):
            continue
    return time.process_time() - start


def speed(files: list[bytes], rounds: int) -> dict[str, dict[str, float]]:
    """Files per second of each task, and how many times the work of bare symusic it is."""
    tasks = {
        "symusic": ScoreTick.from_midi,
        "symusic_columns": symusic_columns,
        "prescan": prescan,
        "read_score": read_score,
    }
    best = dict.fromkeys(tasks, float("inf"))
    for _ in range(rounds):
        for name, task in tasks.items():
            best[name] = min(best[name], taken(task, files))
    return {
        name: {"files_per_second": round(len(files) / seconds), "times_symusic": round(seconds / best["symusic"], 2)}
        for name, seconds in best.items()
    }


def note_ons(data: bytes) -> int | None:
    """Note-ons as mido counts them; None where it gives up."""
    try:
        file = mido.MidiFile(file=io.BytesIO(data), clip=True)
    except (OSError, EOFError, ValueError, IndexError, KeyError):
        return None
    return sum(m.type == "note_on" and m.velocity > 0 for track in file.tracks for m in track)


def accounted(data: bytes) -> tuple[int | str, dict[str, int], int]:
    """(notes or reason, repairs, notes that were merged into others with a count)."""
    try:
        result = read_score(data)
    except Rejected as rejected:
        return str(rejected.reason), {}, 0
    return result.score.note_count, result.repairs, result.repairs.get("doubled_notes", 0)


def agreement(paths: list[Path]) -> dict[str, Any]:
    """Whether mido's note-ons are all there, or how their lack was said."""
    outcomes: Counter[str] = Counter()
    unexplained = []
    for path in paths:
        data = path.read_bytes()
        expected = note_ons(data)
        notes, repairs, merged = accounted(data)
        if expected is None:
            outcomes["mido gives up"] += 1
        elif notes == expected:
            outcomes["equal"] += 1
        elif isinstance(notes, int) and notes + merged == expected:
            outcomes["equal with doubled notes merged"] += 1
        elif "duplicate_tracks" in repairs:
            outcomes["duplicate tracks left out"] += 1
        elif notes == "no_notes" and expected == 0:
            outcomes["no notes"] += 1
        else:
            outcomes["unexplained"] += 1
            unexplained.append(f"{path}: mido {expected}, here {notes} {repairs}")
    return {"outcomes": outcomes, "unexplained": unexplained}


def against_index(folder: Path, index: Path) -> dict[str, Any]:
    """Of the files in a table: where our count equals, exceeds or falls short of each parser's."""
    outcomes = {parser: Counter[str]() for parser in PARSERS}
    fewer = []
    with index.open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            notes, repairs, merged = accounted((folder / row["file"]).read_bytes())
            for parser in PARSERS:
                theirs = int(row[parser]) if row[parser].isdigit() else None
                ours = notes + merged if isinstance(notes, int) else 0
                verdict = _verdict(ours, theirs)
                outcomes[parser][verdict] += 1
                if verdict == "fewer":
                    fewer.append(f"{row['file']}: {parser} {theirs}, here {notes} {repairs}")
    return {"outcomes": outcomes, "fewer": fewer}


def _verdict(ours: int, theirs: int | None) -> str:
    if theirs is None:
        return "only ours" if ours else "both refuse"
    return "equal" if ours == theirs else "more" if ours > theirs else "fewer"


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", type=int, default=0, help="files to compare with mido")
    parser.add_argument("--index", type=Path, help="table of other parsers' counts")
    options = parser.parse_args()
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    result: dict[str, Any] = {"files": len(paths)}
    if options.rounds:
        result["speed"] = speed([path.read_bytes() for path in paths], options.rounds)
    if options.check:
        step = max(len(paths) // options.check, 1)
        result["mido"] = agreement(paths[::step][: options.check])
    if options.index:
        result["index"] = against_index(options.folder, options.index)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

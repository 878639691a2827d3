"""`prepare` over a library of tens of thousands of files: time, memory, and what a second run costs.

    python -m benchmarks.scale FOLDER [--copies 20] [--jobs 2] [--json figures.json]

The library is FOLDER and copies of all its files with changed bytes: each copy has a text event of its own at the start
of its first track, so it has another hash and the same music; all copies of a file are near-duplicates of each other.
Each step is a process of its own: a first run, a second one over the unchanged library, and one after every hundredth
file has been changed. They are done over a fifth of the copies and over all, so that memory can be compared, and
over the fifth with one process, so that the gain of several can. No token cache is used.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.memory import measured

TRACK = b"MTrk"
OLD_SECONDS = 3600
"""Age of the files: times of the last seconds are not believed."""
CHANGED_EVERY = 100
MEMORY_GOAL_MIB = 500
SECOND_RUN_GOAL = 50.0
SCALING_GOAL = 1.7


def with_text(content: bytes, text: bytes) -> bytes:
    """The MIDI file with a text event before everything else in its first track; other bytes as they are."""
    at = content.find(TRACK)
    if at < 0:
        return content + text
    length = int.from_bytes(content[at + 4 : at + 8], "big")
    event = b"\x00\xff\x01" + bytes([len(text)]) + text
    return content[: at + 4] + (length + len(event)).to_bytes(4, "big") + event + content[at + 8 :]


def make_library(folder: Path, library: Path, copies: int) -> int:
    """Write the files and their copies; returns how many there are."""
    sources = sorted(path for path in folder.rglob("*.mid") if path.is_file())
    long_ago = time.time() - OLD_SECONDS
    for copy in range(copies + 1):
        for number, source in enumerate(sources):
            path = library / f"{copy:03}" / source.parent.name / f"{number:05}-{source.name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            content = source.read_bytes()
            path.write_bytes(with_text(content, b"copy %d" % copy) if copy else content)
            os.utime(path, (long_ago, long_ago))
    return (copies + 1) * len(sources)


def change_some(library: Path, mark: bytes) -> None:
    """Change every hundredth file."""
    before = time.time() - OLD_SECONDS / 2
    for path in sorted(library.rglob("*.mid"))[::CHANGED_EVERY]:
        path.write_bytes(with_text(path.read_bytes(), mark))
        os.utime(path, (before, before))


def run(library: str, dataset: str, jobs: int) -> dict[str, Any]:
    """One `prepare`, in this process."""
    from aurl.data.prepare import prepare
    from aurl.profile import load_profile

    profile = load_profile(check={"preprocess", "split"})
    start = time.perf_counter()
    result = prepare([library], profile, Path(dataset), jobs=jobs)
    seconds = time.perf_counter() - start
    counts = {name: getattr(result, name) for name in ("files", "prepared", "rejected", "new", "unchanged")}
    return {"seconds": seconds, **counts}


def series(library: Path, dataset: Path, jobs: int) -> dict[str, dict[str, Any]]:
    """First run, unchanged second run, run with one file in a hundred changed."""
    arguments = ["--run", str(library), str(dataset), "--jobs", str(jobs)]
    found = {"first": measured("benchmarks.scale", arguments), "unchanged": measured("benchmarks.scale", arguments)}
    change_some(library, b"changed %d" % jobs)
    return {**found, "1 % changed": measured("benchmarks.scale", arguments)}


def report(found: dict[str, dict[str, dict[str, Any]]], jobs: int) -> None:
    """Print a table and the ratios that matter."""
    print(f"{'':34}{'files':>8}{'seconds':>10}{'files/s':>10}{'MiB':>8}{'MiB/worker':>12}{'encoded':>9}")
    for title, steps in found.items():
        for step, row in steps.items():
            speed = row["files"] / row["seconds"]
            memory = f"{row['peak_mib']:>8.0f}{row['peak_worker_mib']:>12.0f}"
            head = f"{title + ', ' + step:34}{row['files']:>8,}"
            print(f"{head}{row['seconds']:>10.2f}{speed:>10,.0f}{memory}{row['new']:>9,}")
    small, single, large = found.values()
    ratios = [
        (f"{jobs} processes / one", single["first"]["seconds"] / small["first"]["seconds"], SCALING_GOAL),
        ("unchanged second run", large["first"]["seconds"] / large["unchanged"]["seconds"], SECOND_RUN_GOAL),
        ("1 % changed", large["first"]["seconds"] / large["1 % changed"]["seconds"], 0.0),
        ("memory, all / a fifth", large["first"]["peak_mib"] / small["first"]["peak_mib"], 0.0),
    ]
    for name, ratio, goal in ratios:
        print(f"{name:34}{ratio:>8.2f} x" + (f"   goal {goal:g}" if goal else ""))
    print(f"goal for memory: less than {MEMORY_GOAL_MIB} MiB, parent and each worker")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="of MIDI files")
    parser.add_argument("--copies", type=int, default=20, help="changed copies of each file")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.run:
        print(json.dumps(run(*options.run, options.jobs)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        small, large = Path(scratch, "small"), Path(scratch, "large")
        make_library(options.folder, small, max(options.copies // 5, 1))
        make_library(options.folder, large, options.copies)
        found = {
            f"a fifth, {options.jobs} processes": series(small, Path(scratch, "d1"), options.jobs),
            "a fifth, one process": series(small, Path(scratch, "d2"), 1),
            f"all, {options.jobs} processes": series(large, Path(scratch, "d3"), options.jobs),
        }
    report(found, options.jobs)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()

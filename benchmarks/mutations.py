"""What reading makes of damaged files: `python -m benchmarks.mutations FOLDER --count 1000 --seed 0`.

Takes files of a folder by chance, damages each in one seeded way, and reads it, under a limit of memory for the process
and of time for each file. Every outcome must be a score or a typed rejection; a score must hold up (no note of a track
overlaps another of its pitch, and it is read back from what is written of it as it was). Anything else is a failure,
whose damaged file is kept with `--keep`, and the exit status is 1.
"""

import argparse
import json
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from aurl.midi.read import read_score
from aurl.midi.reasons import Rejected
from aurl.midi.repair import repair
from aurl.midi.write import write_midi

SUFFIXES = {".mid", ".midi", ".kar", ".rmi", ".smf"}
LONGEST_DELTA = b"\xff\xff\xff\x7f"
Mutation = Callable[[bytearray, np.random.Generator], None]


def flip_bits(data: bytearray, rng: np.random.Generator) -> None:
    """One to eight bits anywhere."""
    for _ in range(rng.integers(1, 9)):
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)


def truncate(data: bytearray, rng: np.random.Generator) -> None:
    """The end is missing."""
    del data[rng.integers(len(data)) :]


def falsify_lengths(data: bytearray, rng: np.random.Generator) -> None:
    """A chunk length or a field of the header says something else."""
    places = [4, 8, 10, 12]
    at = data.find(b"MTrk")
    while at >= 0:
        places.append(at + 4)
        at = data.find(b"MTrk", at + 4)
    at = int(rng.choice(places))
    width = 2 if 8 <= at <= 12 else 4
    value = int(rng.integers(256**width)) if rng.random() < 0.5 else int(rng.integers(64))
    data[at : at + width] = value.to_bytes(width, "big")


def lengthen_deltas(data: bytearray, rng: np.random.Generator) -> None:
    """Delta times of 2^28 − 1 ticks in place of other bytes, or between them."""
    for _ in range(rng.integers(1, 20)):
        at = int(rng.integers(len(data)))
        data[at : at + (4 if rng.random() < 0.5 else 0)] = LONGEST_DELTA


def insert_messages(data: bytearray, rng: np.random.Generator) -> None:
    """Messages that are legal somewhere, put anywhere, up to thousands of times."""
    messages = ["00ff510300000000", "00903c40", "00ff2f00", "00f0ffffff7f", "00ff0affffff7f", "00c040", "00ff5802ff09"]
    message = bytes.fromhex(str(rng.choice(messages)))
    at = int(rng.integers(len(data)))
    data[at:at] = message * int(rng.choice([1, 3, 5000]))


def move_bytes(data: bytearray, rng: np.random.Generator) -> None:
    """A slice is left out, doubled, or overwritten with noise."""
    start, stop = sorted(rng.integers(len(data) + 1, size=2).tolist())
    stop = min(stop, start + 500)
    kind = rng.integers(3)
    if kind == 0:
        del data[start:stop]
    elif kind == 1:
        data[start:start] = data[start:stop]
    else:
        data[start:stop] = rng.bytes(stop - start)


def repeat_byte(data: bytearray, rng: np.random.Generator) -> None:
    """Up to 100,000 times the same byte, inserted anywhere: padding, or a delta time without an end."""
    at = int(rng.integers(len(data)))
    value = int(rng.choice([0x00, 0x80, 0xFF, rng.integers(256)]))
    data[at:at] = bytes([value]) * int(rng.choice([1, 100, 100_000]))


def swap_bytes(data: bytearray, rng: np.random.Generator) -> None:
    """Two stretches of one to eight bytes stand in each other's place, up to five times."""
    for _ in range(rng.integers(1, 6)):
        width = int(rng.integers(1, 9))
        if len(data) < 2 * width:
            return
        first = int(rng.integers(len(data) - 2 * width + 1))
        second = int(rng.integers(first + width, len(data) - width + 1))
        data[first : first + width], data[second : second + width] = (
            data[second : second + width],
            data[first : first + width],
        )


def move_chunks(data: bytearray, rng: np.random.Generator) -> None:
    """A track or the header is doubled or left out, or an unknown chunk is put before it."""
    starts = [at for at in range(len(data)) if data[at : at + 4] in (b"MThd", b"MTrk")]
    at = int(rng.integers(len(starts))) if starts else 0
    start, stop = [*starts, len(data)][at : at + 2] if starts else (0, len(data))
    kind = rng.integers(3)
    if kind == 0:
        data[start:start] = data[start:stop] * int(rng.choice([1, 2, 50]))
    elif kind == 1:
        del data[start:stop]
    else:
        size = int(rng.choice([0, 7, 5000]))
        data[start:start] = b"XFIH" + size.to_bytes(4, "big") + rng.bytes(size)


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    truncate,
    falsify_lengths,
    lengthen_deltas,
    insert_messages,
    move_bytes,
    repeat_byte,
    swap_bytes,
    move_chunks,
)


@dataclass
class Outcomes:
    """What became of the damaged files."""

    reasons: Counter[str] = field(default_factory=Counter)
    repairs: Counter[str] = field(default_factory=Counter)
    by_mutation: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    slowest_seconds: float = 0.0


def outcome(data: bytes, repairs: Counter[str]) -> str:
    """ "read", "repaired" or the reason of the rejection.

    Raises:
        ValueError: the score does not hold up.
    """
    try:
        result = read_score(data)
    except Rejected as rejected:
        return str(rejected.reason)
    if repair(result.score)[1]:
        raise ValueError("the score still needs repair")
    if read_score(write_midi(result.score)).score != result.score:
        raise ValueError("the score is not read back from its file")
    repairs.update(result.repairs.keys())
    return "repaired" if result.repairs else "read"


def run(folder: Path, *, count: int, seed: int, timeout_seconds: int, keep: Path | None) -> Outcomes:
    """Damage and read `count` files of the folder."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.stat().st_size > 14)
    outcomes = Outcomes()
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        path, mutation = paths[rng.integers(len(paths))], MUTATIONS[index % len(MUTATIONS)]
        data = bytearray(path.read_bytes())
        mutation(data, rng)
        signal.alarm(timeout_seconds)
        start = time.perf_counter()
        try:
            found = outcome(bytes(data), outcomes.repairs)
        except Exception as error:  # noqa: BLE001 - any other exception is what this looks for
            found = "failure"
            outcomes.failures.append(f"{index} {mutation.__name__} {path.name}: {type(error).__name__}: {error}")
            if keep:
                (keep / f"{seed}-{index}.mid").write_bytes(data)
        signal.alarm(0)
        outcomes.slowest_seconds = max(outcomes.slowest_seconds, time.perf_counter() - start)
        outcomes.reasons[found] += 1
        outcomes.by_mutation.setdefault(mutation.__name__, Counter())[found] += 1
    return outcomes


def main() -> int:
    """Run, print one JSON object, and say by the exit status whether all went well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory-mb", type=int, default=1024, help="address space beyond what the imports take")
    parser.add_argument("--timeout-seconds", type=int, default=20, help="for one file; the process dies of it")
    parser.add_argument("--keep", type=Path, help="folder for damaged files that fail")
    options = parser.parse_args()
    now = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (now + options.memory_mb * 2**20,) * 2)
    outcomes = run(
        options.folder,
        count=options.count,
        seed=options.seed,
        timeout_seconds=options.timeout_seconds,
        keep=options.keep,
    )
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(vars(outcomes) | {"peak_rss_mb": round(peak_mb)}, indent=2))
    return 1 if outcomes.failures else 0


if __name__ == "__main__":
    sys.exit(main())

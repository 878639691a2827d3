"""How much more augmentation makes of a folder: `python -m benchmarks.variety FOLDER [--files 200] [--epochs 10]`.

The folder is prepared into a temporary data set, whose training windows are then read for some epochs: without
augmentation, with each kind alone, and with all of them (each with probability 1). For each:

- `fixed`: windows at places that are the same in each epoch; different ones (by their ids) in one epoch, and in all.
- `drawn`: windows as training draws them, with other boundaries in each epoch, again in one and in all.
- `stretches`: different runs of 32 ids of the drawn windows in all epochs, wherever the windows begin: what a model
  sees that it has not seen yet. Estimated from the 1/64 of all runs whose hashes end in six zero bits.
- `microseconds`: processor time of the augmentation for one window; the mean, and the best of the epochs.
"""

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aurl.augment import AUGMENT, Augmenter, Passage
from aurl.data.dataset import TokenDataset
from aurl.data.prepare import prepare
from aurl.data.windows import Draw, Windows
from aurl.profile import load_profile
from aurl.tokens.vocabulary import TimeBase

SUFFIXES = {".mid", ".midi", ".kar", ".rmi", ".smf"}
RUN = 32
KEPT_BITS = 6
FACTOR, MIXER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
BEATS_ONLY = {"swing"}

Hashes = NDArray[np.uint64]
Component = dict[str, Any]


def runs(ids: NDArray[np.uint16]) -> Hashes:
    """Hashes of all runs of ids, of those that are kept."""
    wide = ids.astype(np.uint64)
    count = len(wide) - RUN + 1
    if count < 1:
        return np.empty(0, np.uint64)
    found = np.zeros(count, np.uint64)
    for offset in range(RUN):
        found = found * FACTOR + wide[offset : offset + count]
    found = (found ^ found >> np.uint64(32)) * MIXER
    found ^= found >> np.uint64(32)
    return found[found & np.uint64((1 << KEPT_BITS) - 1) == 0]


def passages(dataset: TokenDataset, windows: Windows) -> Iterator[Passage]:
    """What the model would be given without augmentation."""
    return (dataset[windows.at(number)] for number in range(len(windows)))


class Seen:
    """Different windows and different runs of ids, over some epochs."""

    def __init__(self) -> None:
        self.all: set[bytes] = set()
        self.first: int = 0
        self.count: int = 0
        self._runs: list[Hashes] = []

    def epoch(self, changed: Sequence[Passage]) -> None:
        hashes = {hashlib.blake2b(one.ids.tobytes(), digest_size=12).digest() for one in changed}
        self.first = self.first or len(hashes)
        self.count += len(changed)
        self.all |= hashes
        self._runs.append(np.unique(np.concatenate([runs(one.ids[one.header :]) for one in changed])))

    @property
    def stretches(self) -> int:
        return len(np.unique(np.concatenate(self._runs))) << KEPT_BITS

    def figures(self) -> dict[str, int]:
        return {"windows": self.count, "one_epoch": self.first, "all_epochs": len(self.all)}


def measure(dataset: TokenDataset, components: list[Component], time_base: TimeBase, epochs: int) -> dict[str, Any]:
    augmenter = Augmenter(components, time_base=time_base)
    fixed, drawn, costs = Seen(), Seen(), []
    for epoch in range(epochs):
        for seen, windows in ((fixed, dataset.windows), (drawn, dataset.draw(np.random.default_rng((0, epoch))))):
            before = list(passages(dataset, windows))
            chances = [Draw(0, epoch, place).rng() for place in range(len(before))]
            start = time.process_time()
            after = [augmenter(passage, rng, epoch) for passage, rng in zip(before, chances, strict=True)]
            costs.append((time.process_time() - start) / len(before) * 1e6)
            seen.epoch(after)
    return {
        "fixed": fixed.figures(),
        "drawn": drawn.figures(),
        "stretches": drawn.stretches,
        "microseconds": {"mean": round(float(np.mean(costs)), 1), "best": round(min(costs), 1)},
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=0, help="how many files, spread over the folder; 0: all")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seq-len", type=int, default=1024)
    parser.add_argument("--time-base", choices=("beats", "seconds"), default="beats")
    options = parser.parse_args()
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    paths = paths[:: max(len(paths) // options.files, 1)] if options.files else paths
    profile = load_profile(overrides=[f"tokens.time_base={options.time_base}"], check={"preprocess", "split"})
    kinds = [kind for kind in AUGMENT.kinds() if options.time_base == "beats" or kind not in BEATS_ONLY]
    cases: dict[str, list[str]] = {"none": [], **{kind: [kind] for kind in kinds}, "all": kinds}
    result: dict[str, Any] = {"files": len(paths), "epochs": options.epochs, "seq_len": options.seq_len}
    with tempfile.TemporaryDirectory() as folder:
        prepare(paths, profile, Path(folder, "dataset"), jobs=1)
        dataset = TokenDataset(Path(folder, "dataset"), "train", seq_len=options.seq_len)
        for name, chosen in cases.items():
            components = [{"kind": kind} for kind in chosen]
            result[name] = measure(dataset, components, options.time_base, options.epochs)
    for name in cases:
        result[name]["times_as_many_stretches"] = round(result[name]["stretches"] / result["none"]["stretches"], 2)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

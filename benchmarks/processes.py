"""Two training processes against one with twice the batch: the same windows, the same losses, how much sooner?

    python -m benchmarks.processes DATASET [--steps 40] [--repeats 3] [--mode transformer] [--set KEY=VALUE ...]

DATASET is a data set made by `aurl prepare`. Both ways take turns, `--repeats` times each, with one thread in every
process; the ratio is of medians of tokens per second. Losses are those of fp32 without dropout. The order of the data
is compared window by window, before anything is trained.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from aurl.data.batching import WindowSampler
from aurl.data.dataset import TokenDataset
from aurl.profile import Profile, load_profile
from aurl.training.log import read_metrics
from aurl.training.trainer import fit

PAIR = 2
SHOWN_STEPS = 200
FIXED = ("training.precision=fp32", "model.dropout=0", "training.sample_every=0", "training.patience=1000")


def profile_of(options: argparse.Namespace, batch: int) -> Profile:
    bounds = {
        "max_steps": options.steps,
        "log_every": 1,
        "eval_every": options.steps,
        "checkpoint_every": options.steps,
    }
    flags = {"model.mode": options.mode, "data.batch_size": batch}
    flags |= {f"training.{name}": value for name, value in bounds.items()}
    return load_profile([options.size], [*FIXED, *options.overrides], flags=flags)


def windows_of(sampler: WindowSampler) -> list[set[tuple[int, ...]]]:
    """What each step reads: piece and place of every window."""
    steps = []
    for windows, _ in zip(sampler, range(SHOWN_STEPS), strict=False):
        columns = [np.asarray(column).tolist() for column in (windows.piece, windows.first, windows.stop)]
        steps.append({window for window in zip(*columns, strict=True) if window[2] > window[1]})
    return steps


def same_order(dataset: Path, seq_len: int, batch: int) -> str:
    """Whether the two processes read, step for step, what one reads."""
    train = TokenDataset(dataset, "train", seq_len=seq_len)
    whole = windows_of(WindowSampler(train, batch_size=PAIR * batch))
    halves = [windows_of(WindowSampler(train, batch_size=batch, rank=rank, world=PAIR)) for rank in range(PAIR)]
    pairs = list(zip(whole, *halves, strict=True))
    overlap = sum(bool(one & other) for _, one, other in pairs)
    equal = sum(one | other == all_of_it for all_of_it, one, other in pairs)
    return f"data order: {equal} of {len(pairs)} steps read the same windows, {overlap} steps read a window twice"


def speed_and_losses(folder: Path) -> tuple[float, list[float]]:
    """Median tokens per second, and the loss of each step."""
    records = [record for record in read_metrics(folder / "metrics.jsonl") if "train/loss" in record]
    return median(record["tokens_per_second"] for record in records[len(records) // 4 :]), [
        record["train/loss"] for record in records
    ]


def compare(options: argparse.Namespace) -> dict[str, Any]:
    print(same_order(options.dataset, profile_of(options, options.batch).data.seq_len, options.batch), flush=True)
    speeds: dict[int, list[float]] = {1: [], PAIR: []}
    losses: dict[int, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="aurl-processes-") as home:
        for repeat in range(options.repeats):
            for processes, found in speeds.items():
                folder = Path(home, f"{repeat}-{processes}")
                profile = profile_of(options, options.batch * PAIR // processes)
                fit(profile, options.dataset, folder, processes=processes, threads=1, device="cpu")
                speed, losses[processes] = speed_and_losses(folder)
                found.append(speed)
    apart = max(abs(one - other) / one for one, other in zip(losses[1], losses[PAIR], strict=True))
    ratio = median(speeds[PAIR]) / median(speeds[1])
    return {"mode": options.mode, "speeds": speeds, "ratio": ratio, "largest relative difference of losses": apart}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=2, help="windows in a batch of each of two processes")
    parser.add_argument("--size", default="small")
    parser.add_argument("--mode", default="transformer")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(json.dumps(compare(parser.parse_args()), indent=1))


if __name__ == "__main__":
    main()

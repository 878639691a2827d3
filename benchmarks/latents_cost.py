"""Speed and memory of training, each mode in processes of its own, at equal decoder.

    python -m benchmarks.latents_cost --dataset DIR [--repeats 3] [--size small] [--set KEY=VALUE]

Every process trains a few steps as `aurl train` does, in one thread, and tells its tokens per second (after the first
few steps; of processor time where there is no GPU, for other processes take their share of the clock) and the most
memory that it had. The modes take turns; ratios are medians of each repeat's own ratio.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from benchmarks.latents_runs import Recipe

from aurl.progress import Interrupts, Progress
from aurl.training.log import read_metrics
from aurl.training.trainer import fit

WARM_UP_STEPS, STEPS = 3, 12
MODES: dict[str, dict[str, Any]] = {
    "transformer": {},
    "vae": {},
    # All parts of the discriminator from the first step on, as at the end of a training.
    "vae_gan": {"discriminator.start": 0.0, "discriminator.stages": (0.0, 0.0, 0.0)},
}
KIB_PER_MIB, BYTES_PER_MIB = 2**10, 2**20


def peak_mib() -> float:
    """Of the GPU where there is one; else of this process, whose `ru_maxrss` would be at least its parent's (Linux)."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / BYTES_PER_MIB
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / KIB_PER_MIB


def child(recipe: Recipe, dataset: Path, mode: str) -> dict[str, float]:
    """Train a few steps in this process."""
    profile = recipe.equal_decoder(mode, **MODES[mode], **{"training.log_every": 1, "training.sample_every": 0})
    interrupts, before = Interrupts(), peak_mib()
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    times: list[float] = []
    peak = 0.0

    def watch(progress: Progress) -> None:
        nonlocal peak
        times.append(clock())
        if progress.done == WARM_UP_STEPS + STEPS:
            peak, interrupts.stop = peak_mib(), 1  # before anything is saved

    with tempfile.TemporaryDirectory() as folder:
        fit(profile, dataset, Path(folder) / "run", threads=1, report=watch, interrupts=interrupts)
        tokens = [line["tokens"] for line in read_metrics(Path(folder) / "run" / "metrics.jsonl")]
    speed = (tokens[-1] - tokens[WARM_UP_STEPS - 1]) / (times[-1] - times[WARM_UP_STEPS - 1])
    return {"tokens_per_second": speed, "peak_mib": peak, "step_mib": peak - before}


def compare(
    dataset: Path, *, size: str, overrides: Sequence[str], modes: Sequence[str], repeats: int
) -> dict[str, dict[str, float]]:
    """Mode → medians, and the medians of their ratios to the transformer."""
    found: dict[str, list[dict[str, float]]] = {mode: [] for mode in modes}
    for _ in range(repeats):
        for mode, repeat in found.items():
            repeat.append(_measure(dataset, mode, size=size, overrides=overrides))
    figures = {}
    for mode, repeat in found.items():
        figures[mode] = {name: median(one[name] for one in repeat) for name in repeat[0]}
        pairs = list(zip(repeat, found.get("transformer", repeat), strict=True))
        figures[mode] |= {f"{name}_ratio": median(one[name] / base[name] for one, base in pairs) for name in repeat[0]}
    return figures


def _measure(dataset: Path, mode: str, *, size: str, overrides: Sequence[str]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.latents_cost", "--child", mode, "--dataset", str(dataset)]
    command += ["--size", size, *(part for override in overrides for part in ("--set", override))]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(told.splitlines()[-1]))


def table(figures: dict[str, dict[str, float]]) -> str:
    rows = [
        "| equal decoder | tokens/s | / transformer | peak MiB | / transformer | of steps alone MiB | / transformer |"
    ]
    rows.append("|---|---|---|---|---|---|---|")
    for mode, of in figures.items():
        cells = [f"{of['tokens_per_second']:,.0f}", f"{of['tokens_per_second_ratio']:.2f}"]
        cells += [f"{of['peak_mib']:,.0f}", f"{of['peak_mib_ratio']:.2f}"]
        cells += [f"{of['step_mib']:,.0f}", f"{of['step_mib_ratio']:.2f}"]
        rows.append(f"| `{mode}` | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--modes", default="transformer,vae,vae_gan")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--size", default="small")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--child", help="measure this mode in this process and print JSON")
    args = parser.parse_args()
    if args.child:
        print(json.dumps(child(Recipe(args.size, args.overrides), args.dataset, args.child)))
        return
    modes = args.modes.split(",")
    print(table(compare(args.dataset, size=args.size, overrides=args.overrides, modes=modes, repeats=args.repeats)))


if __name__ == "__main__":
    main()

"""What are the latents good for?

python -m benchmarks.latents --probe RUN [RUN ...]
"""

import argparse
import json
from pathlib import Path

import torch
from benchmarks.latents_held_out import dataset_of, line, use_of

from aurl.generation.load import BEST, load_run


def probe(runs: list[Path], checkpoint: str, windows: int) -> dict[str, dict[str, float]]:
    """One line for each run, as soon as it is known."""
    found = {}
    for run in runs:
        loaded = load_run(run, checkpoint=checkpoint)
        figures = use_of(loaded, dataset_of(run), windows=windows)
        print(line(f"{run.name}@{loaded.step}", figures), flush=True)
        found[str(run)] = {"step": loaded.step, **figures}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probe", type=Path, nargs="+", metavar="RUN", help="measure finished runs in a minute each")
    parser.add_argument("--windows", type=int, default=40, help="held-out windows of each measurement")
    parser.add_argument("--checkpoint", default=BEST)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all figures here")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    figures = probe(args.probe, args.checkpoint, args.windows)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

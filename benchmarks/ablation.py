"""What does each part of the objective do? Equal steps, data and seeds, one thing changed at a time.

    python -m benchmarks.ablation POP909 --home DIR [--rows vae,linear] [--seeds 0,1] [--steps 700] [--jobs 1]
    python -m benchmarks.ablation --home DIR --table

POP909 is the folder of 001.mid … 500.mid; songs 451-500 are held out. Every row is trained from each seed in a process
of its own, `--jobs` of them at a time, then measured; whatever is finished is not done again, and a run that was
stopped goes on. Two cores take about two hours for the whole table; with a GPU, jobs share it. The weights measured
are the average of the last step, on the whole valid split and on samples of the prior.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.ablation_rows import ROWS, SHARED
from benchmarks.latents_held_out import use_of
from benchmarks.latents_music import Songs, measured, samples, show, statistics
from benchmarks.latents_runs import FINISHED, PROFILE
from benchmarks.latents_tables import table

from aurl.data.prepare import prepare
from aurl.generation.load import choose_device, load_run
from aurl.profile import Profile, load_profile
from aurl.training.log import read_metrics
from aurl.training.run import Run
from aurl.training.trainer import fit, resume

WINDOWS = 96
LEVELS = ("global", "local", "fine")
MUSIC = ("polyphony", "note_density", "pitch_class_entropy")


def profile_of(row: str, *, steps: int, batch: int, seed: int) -> Profile:
    bounds = {"training.max_steps": steps, "training.eval_every": steps // 5, "training.checkpoint_every": steps}
    flags = {"model.mode": ROWS[row].mode, "data.batch_size": batch, "training.seed": seed, **bounds}
    return load_profile(
        ["vae", "small", *ROWS[row].profiles, str(PROFILE)], [*SHARED, *ROWS[row].overrides], flags=flags
    )


def name_of(row: str, seed: int) -> str:
    return f"{row}-{seed}"


def train_one(options: argparse.Namespace) -> None:
    """Train and measure one row from one seed, as far as that is not done yet."""
    row, seed = options.rows[0], options.seeds[0]
    folder, figures = options.home / name_of(row, seed), options.home / f"{name_of(row, seed)}.json"
    if not (folder / "run.json").is_file():
        profile = profile_of(row, steps=options.steps, batch=options.batch, seed=seed)
        fit(profile, options.home / "dataset", folder, threads=1)
    elif Run(folder).facts()["status"] != FINISHED:
        resume(folder, threads=1)
    if not figures.is_file():
        figures.write_text(json.dumps(measure(folder, options.home), indent=1))


def measure(folder: Path, home: Path) -> dict[str, Any]:
    """Validation, accuracy and samples of a run that is finished."""
    records = read_metrics(folder / "metrics.jsonl")
    valid = next(record for record in reversed(records) if "valid/nats_per_note" in record)
    loaded = load_run(folder, checkpoint="latest", device=choose_device())
    songs = Songs.of(home / "dataset", 16)
    real = measured(songs.scores(512))
    made, facts = samples(loaded, count=16, tokens=512)
    show(home / "pictures" / folder.name, {"sample": made})
    return {
        "steps": loaded.step,
        "seconds": Run(folder).facts()["seconds"],
        "valid": valid,
        "use": use_of(loaded, home / "dataset", windows=WINDOWS),
        "samples": facts,
        "music": statistics(made, real),
        "real": {name: float(values.mean()) for name, values in real.items()},
    }


def train_all(options: argparse.Namespace) -> None:
    """Each row from each seed in a process of its own."""
    if not (options.home / "dataset").is_dir():
        prepare([options.folder], load_profile([str(PROFILE)]), options.home / "dataset")
    jobs = list(product(options.seeds, options.rows))
    with ThreadPoolExecutor(options.jobs) as pool:
        for (seed, row), log in zip(jobs, pool.map(lambda job: start(options, *job), jobs), strict=True):
            print(f"{name_of(row, seed)}: {log}", flush=True)


def start(options: argparse.Namespace, seed: int, row: str) -> str:
    """One process; its last line where it failed."""
    command = [sys.executable, "-m", "benchmarks.ablation", "--home", str(options.home), "--one"]
    bounds = ["--rows", row, "--seeds", str(seed), "--steps", str(options.steps), "--batch", str(options.batch)]
    done = subprocess.run([*command, *bounds], capture_output=True, text=True, check=False)
    return "done" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason given"])[-1]


def show_table(home: Path) -> str:
    """Means over seeds, and in brackets how far seeds are apart."""
    found = {row: [json.loads(path.read_text()) for path in sorted(home.glob(f"{row}-?.json"))] for row in ROWS}
    head = ["row", "seeds", "nats/note", "-ELBO/note", "KL/token g l f", "active g l f", "shuffled", "accuracy"]
    head += [f"{name} (overlap)" for name in MUSIC]
    rows = {row: list(_cells(runs)) for row, runs in found.items() if runs}
    real = next((runs[0]["real"] for runs in found.values() if runs), {})
    rows["*held-out songs*"] = [""] * 7 + [f"{real[name]:.2f}" for name in MUSIC if name in real]
    return table(head, rows)


def _cells(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield str(len(runs))
    valid = [run["valid"] for run in runs]
    yield _spread([record["valid/nats_per_note"] for record in valid])
    yield _spread([record.get("valid/elbo_per_note", record["valid/nats_per_note"]) for record in valid])
    for name, form in (("kl", ".3f"), ("active_units", ".2f")):
        levels = [f"valid/{name}_{level}" for level in LEVELS]
        yield " / ".join(format(mean(record[key] for record in valid), form) for key in levels if key in valid[0])
    lost = [record["valid/shuffled_cost_all"] for record in valid if "valid/shuffled_cost_all" in record]
    yield f"{mean(lost):.2f}" if lost else ""
    yield f"{mean(run['use']['accuracy'] for run in runs):.3f}"
    for name in MUSIC:
        figures = [run["music"][name] for run in runs]
        yield f"{mean(one['mean'] for one in figures):.2f} ({mean(one['overlap'] for one in figures):.2f})"


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.3f} ({max(values) - min(values):.3f})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="POP909's MIDI files")
    parser.add_argument("--home", type=Path, required=True, help="where runs and figures belong")
    parser.add_argument("--rows", type=lambda text: text.split(","), default=list(ROWS))
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1])
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch", type=int, default=4, help="windows in a batch")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--table", action="store_true", help="only print what is there")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = _options()
    if options.one:
        train_one(options)
        return
    if not options.table:
        train_all(options)
    print(show_table(options.home))


if __name__ == "__main__":
    main()

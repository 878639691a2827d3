"""SIGKILL at random moments, then `aurl resume`: is the run, bit by bit, the one that nobody killed?

    python -m benchmarks.kill_resume FOLDER [--kills 10] [--steps 200] [--mode vae] [--processes 1]
                                         [--workers 0] [--seed 0] [--set KEY=VALUE ...]

FOLDER holds MIDI files. Everything goes through the command line: `aurl prepare`, then one `aurl train` that is left
alone, and one that is killed, with `aurl resume` killed again and again until `--kills` is reached, then left alone.
Only the process that was started is killed; with several processes, what it started must then end by itself. Compared
are the sequence of metrics (those of the machine's speed left out) and every tensor of the last checkpoint. Exit
status 1 where anything differs.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from safetensors.numpy import load_file

from aurl.training.log import read_metrics

MACHINE = ("tokens_per_second", "share_of_peak", "seconds", "eta_seconds", "memory_mib", "cuda_mib")
PROFILE = {
    "model.dropout": 0.1,
    "data.seq_len": 64,
    "data.batch_size": 2,
    "training.precision": "fp32",
    "training.log_every": 1,
    "training.eval_every": 25,
    "training.checkpoint_every": 10,
    "training.sample_every": 0,
    "training.horizon_steps": 400,
}
ORPHAN_SECONDS = 30.0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "aurl", *arguments]


def train_arguments(name: str, options: argparse.Namespace) -> list[str]:
    chosen = {**PROFILE, "data.workers": options.workers}
    pairs = [*(f"{key}={value}" for key, value in chosen.items()), *options.overrides]
    settings = [word for pair in pairs for word in ("--set", pair)]
    bounds = ["--max-steps", str(options.steps), "--processes", str(options.processes), "--threads", "1"]
    return ["train", "--name", name, "-p", "tiny", "-p", options.mode, *bounds, *settings, "--device", "cpu"]


def steps_of(run: Path) -> int:
    """Lines of metrics, as a cheap sign of progress."""
    path = run / "metrics.jsonl"
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def kill_once(arguments: list[str], run: Path, environment: dict[str, str], rng: random.Random) -> bool:
    """Start a command and kill it: now and then while it starts, else some steps on. False if it ended before."""
    before = steps_of(run)
    with subprocess.Popen(
        command(*arguments), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        if rng.random() < 0.8:
            while process.poll() is None and steps_of(run) <= before:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 1.5))
        else:
            time.sleep(rng.uniform(0, 8))
        if process.poll() is not None:
            return False
        started = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    _, orphans = psutil.wait_procs(started, timeout=ORPHAN_SECONDS)
    if orphans:
        raise SystemExit(f"left behind: {orphans}")
    return True


def difference(whole: Path, killed: Path) -> str:
    """What is not the same, empty if nothing."""
    told = [
        [{name: value for name, value in record.items() if name not in MACHINE} for record in read_metrics(path)]
        for path in (whole / "metrics.jsonl", killed / "metrics.jsonl")
    ]
    if told[0] != told[1]:
        pairs = ((one, other) for one, other in zip(*told, strict=False) if one != other)
        first = next(pairs, ({}, {}))
        names = [name for name in first[0].keys() | first[1].keys() if first[0].get(name) != first[1].get(name)]
        values = [{name: one.get(name) for name in ("step", *sorted(names))} for one in first]
        return f"metrics: {len(told[0])} records and {len(told[1])}, first at {values[0]} and {values[1]}"
    folders = [run / "checkpoints" / (run / "checkpoints" / "latest").read_text().strip() for run in (whole, killed)]
    for path in sorted(folders[0].glob("*.safetensors")):
        one, other = load_file(path), load_file(folders[1] / path.name)
        if one.keys() != other.keys() or any(one[name].tobytes() != other[name].tobytes() for name in one):
            return path.name
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--mode", choices=("transformer", "vae", "vae_gan"), default="transformer")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="aurl-kill-") as home:
        environment = {**os.environ, "AURL_HOME": home, "OMP_NUM_THREADS": "1"}

        def run(*arguments: str) -> None:
            subprocess.run(command(*arguments, "--quiet"), env=environment, check=True, stdout=subprocess.DEVNULL)

        run("prepare", str(options.folder), "--jobs", "1")
        run(*train_arguments("whole", options))
        whole, killed = Path(home, "runs", "whole"), Path(home, "runs", "killed")
        kills, moments = 0, []
        while kills < options.kills:
            begun = (killed / "run.json").exists()
            arguments = ["resume", "killed"] if begun else train_arguments("killed", options)
            if not kill_once(arguments, killed, environment, rng):
                break
            kills += 1
            moments.append(steps_of(killed))
        run(*(["resume", "killed"] if (killed / "run.json").exists() else train_arguments("killed", options)))
        found = difference(whole, killed)
        records = len(read_metrics(whole / "metrics.jsonl"))
    how = f"mode {options.mode}, {options.processes} processes, {options.workers} loader workers"
    print(f"{options.steps} steps, {how}: killed {kills} times, at records {moments} of {records}")
    print(f"differs: {found}" if found else "bit-identical: metrics, weights, average, optimizer, random state")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()

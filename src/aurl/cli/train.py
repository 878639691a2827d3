"""`aurl train`: data set + profile → a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aurl.cli.bars import duration
from aurl.cli.dataset import as_prepared, find_dataset
from aurl.cli.options import (
    DataName,
    Device,
    MaxMinutes,
    MaxSteps,
    Overrides,
    ProcessCount,
    Profiles,
    Threads,
    complete_runs,
)
from aurl.cli.output import Output, table
from aurl.cli.signals import exit_code, listening
from aurl.errors import ExitCode

if TYPE_CHECKING:
    from aurl.home import Home
    from aurl.training.result import FitResult

NewName = Annotated[
    str | None, typer.Option("--name", "-n", metavar="NAME", help="Name of the run; date and time by default.")
]
Start = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="RUN[@CHECKPOINT]",
        help="Start from the weights of another run, its best ones by default; its model is built again.",
        autocompletion=complete_runs,
    ),
]
Teacher = Annotated[
    str | None,
    typer.Option(
        "--teacher",
        metavar="RUN[@CHECKPOINT]",
        help="Learn from what this run's model expects, too.",
        autocompletion=complete_runs,
    ),
]


def train(
    output: Output,
    data: DataName = None,
    profile: Profiles = None,
    overrides: Overrides = None,
    name: NewName = None,
    start: Start = None,
    teacher: Teacher = None,
    max_steps: MaxSteps = None,
    max_minutes: MaxMinutes = None,
    processes: ProcessCount = None,
    threads: Threads = None,
    device: Device = None,
) -> ExitCode | None:
    """Train the model that the profiles describe on a data set."""
    from aurl.cli.device import check_device, default_size
    from aurl.home import Home
    from aurl.profile import load_profile

    home = Home.locate()
    dataset = find_dataset(output, home, data)
    if name is not None:
        home.new_run(name)
    device = check_device(device)
    start_from, like = _start(home, start)
    flags: dict[str, Any] = {"training.max_steps": max_steps, "training.max_minutes": max_minutes}
    flags |= {} if teacher is None else {"training.teacher": teacher, "loss.terms.distillation": {}}
    size = default_size(device)
    resolved = load_profile(profile or (), overrides or (), flags=flags, default_size=size, like=like)
    if resolved.default_size:
        output.note(f"size: {resolved.default_size}, which suits this device ({device}); --profile chooses another")
    from aurl.training.trainer import fit

    with output.progress(live=True) as report, listening(output.note) as interrupts:
        result = fit(
            as_prepared(output, resolved, dataset),
            dataset,
            lambda: _new_run(output, home, name),
            start_from=start_from,
            processes=processes or 1,
            threads=threads,
            device=device,
            report=report,
            interrupts=interrupts,
        )
    return show_result(output, "train", result)


def _start(home: "Home", named: str | None) -> tuple[Path | None, Path | None]:
    """Folder of the run or checkpoint to start from, and the profile of that run."""
    if named is None:
        return None, None
    from aurl.training.run import PROFILE_NAME
    from aurl.training.start import find_named, run_of

    folder = find_named(named, home)
    return folder, run_of(folder) / PROFILE_NAME


def _new_run(output: Output, home: "Home", name: str | None) -> Path:
    folder = home.new_run(name)
    home.mark_latest(folder)
    output.note(f"run: {folder.name} in {folder}")
    return folder


def show_result(output: Output, command: str, result: "FitResult") -> ExitCode | None:
    """Print what a sitting of training came to; the exit code tells of the signal that ended it."""
    output.result(command, result, _text(result))
    if result.signal:
        output.note(f"go on with: aurl resume {result.run_folder.name}")
        return exit_code(result.signal)
    output.note("next: aurl generate")
    return None


def _text(result: "FitResult") -> str:
    whole = " with the KL divergence" if "valid/elbo_per_note" in result.metrics else ""
    best = "none" if result.best_nats_per_note is None else f"{result.best_nats_per_note:.3f} nats per note{whole}"
    rows = [
        ("run", str(result.run_folder)),
        ("status", f"{result.status} ({result.reason})"),
        ("trained", f"{result.step:,} steps, {result.tokens:,} tokens, {duration(result.seconds)}"),
        ("parameters", f"{result.parameters:,}"),
        ("best validation", f"{best} at step {result.best_step:,}" if result.best_step else "none"),
    ]
    return table([*rows, *(("sample", str(path)) for path in result.samples[-1:])])

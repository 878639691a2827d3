"""Train a run, or go on with one."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aurl.errors import UsageError
from aurl.profile import Profile, Training
from aurl.progress import Interrupts, Report, silent
from aurl.storage import lock
from aurl.training.acceleration import start_accelerator
from aurl.training.hardware import check_precision
from aurl.training.launch import launch
from aurl.training.processes import environment_rank, environment_world
from aurl.training.result import FitResult
from aurl.training.run import Run
from aurl.training.setup import create_checked
from aurl.training.sitting import train_here
from aurl.training.trackers import check_trackers

logger = logging.getLogger(__name__)
FIXED_KEYS = frozenset({"seed", "accumulation", "precision", "ema_decay", "lora", "teacher"})
"""Keys of the training section that a run keeps to its end."""


def fit(
    profile: Profile,
    dataset_folder: Path,
    run_folder: Path | Callable[[], Path],
    *,
    start_from: Path | None = None,
    processes: int = 1,
    threads: int | None = None,
    device: str | None = None,
    report: Report = silent,
    interrupts: Interrupts | None = None,
) -> FitResult:
    """Start a run and train it until a bound, lost patience, or a signal.

    Under a launcher (`accelerate launch`, torchrun) every process calls this with the same arguments.

    Args:
        profile: what to build and how to train it.
        dataset_folder: made by `prepare`.
        run_folder: where the run belongs, or what decides it; called in the main process only.
        start_from: folder of a run, whose best weights it begins with, or of one of its checkpoints.
        processes: how many to start on this machine, each with batches of its own; 1 trains in this process.
        threads: torch threads of each process; None: the physical cores, shared.
        device: "cpu" leaves a GPU alone; else the fastest there is.
        report: told after every step, in the main process.
        interrupts: looked at between steps.

    Raises:
        UsageError: the run exists, the data set is too small for one batch, or weights of another run do not fit.
        NotFoundError: the run to start from, or the teacher, is not there.
        DivergedError: the loss is no longer a number.
        LockedError: another process trains the run.
    """
    world = _world(processes)

    def create() -> Run:
        check_precision(profile.training.precision, device)
        return create_checked(run_folder, profile, dataset_folder, processes=world, start_from=start_from)

    run = create() if environment_world() == 1 else start_accelerator(profile, device=device)[1].on_main(create)
    return _train(run, world, threads=threads, device=device, report=report, interrupts=interrupts or Interrupts())


def resume(
    run_folder: Path,
    *,
    changes: Mapping[str, Any] | None = None,
    dataset_folder: Path | None = None,
    processes: int | None = None,
    threads: int | None = None,
    device: str | None = None,
    report: Report = silent,
    interrupts: Interrupts | None = None,
) -> FitResult:
    """Go on where a run stopped, exactly as if it had not.

    Args:
        run_folder: of a run that is not being trained.
        changes: keys of the profile's `training` section → new values (`max_steps`, `max_minutes`, `lr`…).
        dataset_folder: where the data set is now, if it has moved.
        processes: None for as many as before; another number goes on, but not bit by bit.
        threads: None for as many as before.
        device: "cpu" leaves a GPU alone; else the fastest there is.
        report: told after every step, in the main process.
        interrupts: looked at between steps.

    Raises:
        NotFoundError: the folder is no run, or its data set is gone.
        UsageError: a change is not possible.
        DamagedError: no checkpoint is whole.
        DivergedError: the loss is no longer a number.
        LockedError: another process trains the run.
    """
    run = Run(run_folder.resolve())
    asked = processes or (run.facts()["processes"] if environment_world() == 1 else 1)
    world = _world(asked)
    if environment_rank() == 0:
        with lock(run.lock):
            _change(run, changes or {}, dataset_folder, world)
    return _train(run, world, threads=threads, device=device, report=report, interrupts=interrupts or Interrupts())


def _world(processes: int) -> int:
    """How many processes there will be.

    Raises:
        UsageError: a launcher has started several already, and more are asked for.
    """
    started = environment_world()
    if started > 1 and processes not in (1, started):
        raise UsageError(
            f"{processes} processes asked for, but a launcher has started {started}",
            hint="leave --processes out under accelerate launch",
        )
    return max(started, processes)


def _train(
    run: Run, world: int, *, threads: int | None, device: str | None, report: Report, interrupts: Interrupts
) -> FitResult:
    if world == environment_world():
        return train_here(run, threads=threads, device=device, report=report, interrupts=interrupts)
    threads = threads or run.facts().get("threads")
    result = launch(run.folder, world, threads=threads, device=device, report=report, interrupts=interrupts)
    return FitResult.from_json(result)


def _change(run: Run, changes: Mapping[str, Any], dataset_folder: Path | None, processes: int) -> None:
    """Write down what is different from now on."""
    profile, facts = run.profile(), run.facts()
    check_trackers(profile.training.trackers)
    if fixed := sorted(FIXED_KEYS & set(changes)):
        raise UsageError(f"training.{fixed[0]} cannot be changed within a run", hint="start a new run: aurl train")
    if changes:
        try:
            training = Training.model_validate({**profile.training.model_dump(), **changes})
        except ValidationError as error:
            fault = error.errors()[0]
            raise UsageError(f"training.{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
        profile = profile.model_copy(update={"training": training})
        run.write_profile(profile)
        logger.info("changed: %s", ", ".join(f"training.{key} = {value}" for key, value in changes.items()))
    if processes != facts["processes"]:
        logger.warning("%d processes, %d before: not bit by bit what it was", processes, facts["processes"])
    moved = {} if dataset_folder is None else {"dataset": str(dataset_folder.resolve())}
    run.update(processes=processes, profile_hash=profile.hash, **moved)

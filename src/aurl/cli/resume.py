"""`aurl resume`: go on where a run stopped."""

from typing import Annotated

import typer

from aurl.cli.options import Device, MaxMinutes, MaxSteps, ProcessCount, Threads, complete_runs
from aurl.cli.output import Output
from aurl.cli.signals import listening
from aurl.cli.train import show_result
from aurl.errors import ExitCode


def resume(
    output: Output,
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="Name or folder; the latest unfinished run by default.", autocompletion=complete_runs
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", "-d", metavar="NAME|FOLDER", help="Where the data set is now, if it moved.")
    ] = None,
    max_steps: MaxSteps = None,
    max_minutes: MaxMinutes = None,
    processes: ProcessCount = None,
    threads: Threads = None,
    device: Device = None,
) -> ExitCode | None:
    """Go on exactly where a run stopped."""
    from aurl.cli.device import check_device
    from aurl.home import Home

    home = Home.locate()
    folder = home.run(run, unfinished=True)
    if run is None:
        output.note(f"run: {folder.name}, the latest unfinished one")
    bounds = {"max_steps": max_steps, "max_minutes": max_minutes}
    from aurl.training.trainer import resume

    with output.progress(live=True) as report, listening(output.note) as interrupts:
        result = resume(
            folder,
            changes={key: value for key, value in bounds.items() if value is not None},
            dataset_folder=home.dataset(data) if data else None,
            processes=processes,
            threads=threads,
            device=check_device(device),
            report=report,
            interrupts=interrupts,
        )
    home.mark_latest(folder)
    return show_result(output, "resume", result)

"""`aurl runs average | verify | clean`: the checkpoints of a run."""

from typing import TYPE_CHECKING, Annotated

import typer

from aurl.cli.options import complete_runs
from aurl.cli.output import Output, table
from aurl.errors import ExitCode

if TYPE_CHECKING:
    from aurl.training.checkpoint import Checkpoints
    from aurl.training.run import Run

MEBIBYTE = 2**20
RunName = Annotated[
    str | None,
    typer.Argument(metavar="RUN", help="Name or folder; the latest by default.", autocompletion=complete_runs),
]


def average(
    output: Output,
    run: RunName = None,
    last: Annotated[int | None, typer.Option(min=2, metavar="N", help="Of the newest N checkpoints.")] = None,
    best: Annotated[int | None, typer.Option(min=2, metavar="K", help="Of the best K checkpoints.")] = None,
    step: Annotated[
        list[int] | None, typer.Option(metavar="STEP", help="Of the checkpoint of this step; give several.")
    ] = None,
) -> None:
    """Write the mean of several checkpoints' weights, to generate with."""
    from aurl.training.soup import average_checkpoints

    found, checkpoints = _open(run)
    folder = average_checkpoints(checkpoints, last=last, best=best, steps=step or ())
    output.result("runs.average", {"run": found.folder, "checkpoint": folder.name}, folder.name)
    output.note(f"next: aurl generate --run {found.folder.name} --checkpoint {folder.name}")


def verify(output: Output, run: RunName = None) -> ExitCode | None:
    """Compare every checkpoint of a run with its checksums."""
    from aurl.training.verify import verify_checkpoints

    found, _ = _open(run)
    verified = verify_checkpoints(found)
    rows = [(one.name, f"{one.bytes / MEBIBYTE:,.1f} MiB", one.fault or "whole") for one in verified]
    text = table(rows) if rows else f"{found.folder.name} has no checkpoint"
    output.result("runs.verify", {"run": found.folder, "checkpoints": verified}, text)
    return ExitCode.DAMAGED if any(one.fault for one in verified) else None


def clean(
    output: Output,
    run: RunName = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be deleted.")] = False,
) -> None:
    """Delete the checkpoints that the profile of a run does not keep, and damaged ones that were replaced."""
    from aurl.training.verify import clean_checkpoints

    found, checkpoints = _open(run)
    cleaned = clean_checkpoints(found, checkpoints, dry_run=dry_run)
    done = "would be deleted" if dry_run else "deleted"
    freed = f"{cleaned.bytes / MEBIBYTE:,.1f} MiB {done}" if cleaned.names else "nothing to delete"
    text = "\n".join([*cleaned.names, freed])
    output.result("runs.clean", {"run": found.folder, "dry_run": dry_run, "deleted": cleaned}, text)


COMMANDS = (average, verify, clean)


def _open(name: str | None) -> "tuple[Run, Checkpoints]":
    from aurl.home import Home
    from aurl.training.run import Run
    from aurl.training.setup import checkpoints_of

    run = Run(Home.locate().run(name))
    return run, checkpoints_of(run, run.profile())

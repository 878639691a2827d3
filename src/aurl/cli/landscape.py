"""`aurl landscape`: how the loss looks around a checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aurl.cli.options import Device, Force, Threads, complete_runs
from aurl.cli.output import Output, table
from aurl.cli.signals import exit_code, listening
from aurl.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from aurl.training.landscape import Landscape, Looking

RunName = Annotated[
    str | None,
    typer.Argument(metavar="RUN", help="Name or folder; the latest by default.", autocompletion=complete_runs),
]
Checkpoint = Annotated[str, typer.Option("--checkpoint", metavar="best|latest|NAME", help="Which state of the model.")]
Points = Annotated[int, typer.Option("--points", metavar="N", help="Points along each direction; odd.")]
Span = Annotated[
    float, typer.Option("--span", metavar="S", help="How far to each side; 1: as far as the weights are long.")
]
Windows = Annotated[
    int, typer.Option("--windows", min=1, metavar="N", help="Windows of the valid split to measure the loss on.")
]
Pca = Annotated[bool, typer.Option("--pca", help="The plane of the run's checkpoints instead of random directions.")]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Of the random directions.")]
Picture = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE.png", help="The picture; numbers go to FILE.json beside it."),
]
MovedData = Annotated[
    str | None, typer.Option("--data", "-d", metavar="NAME|FOLDER", help="Where the data set is now, if it moved.")
]


def landscape(
    output: Output,
    run: RunName = None,
    *,
    checkpoint: Checkpoint = "best",
    points: Points = 21,
    span: Span = 1.0,
    windows: Windows = 16,
    pca: Pca = False,
    seed: Seed = 0,
    to: Picture = None,
    data: MovedData = None,
    threads: Threads = None,
    device: Device = None,
    force: Force = False,
) -> ExitCode | None:
    """Measure how sharp the loss is around a checkpoint, and draw it over a plane of weights."""
    from aurl.home import Home

    home = Home.locate()
    folder = home.run(run)
    if run is None:
        output.note(f"run: {folder.name}, the latest")
    from aurl.cli.device import check_device
    from aurl.generation.generate import using_threads
    from aurl.training.landscape import look, prepare_look

    with using_threads(threads):
        looking = prepare_look(
            folder,
            checkpoint=checkpoint,
            points=points,
            span=span,
            windows=windows,
            pca=pca,
            seed=seed,
            dataset=home.dataset(data) if data else None,
            device=check_device(device),
        )
        image = to or Path(f"{folder.name}-{looking.known.question.checkpoint}.png")
        numbers = _numbers(image)
        _take_up(output, looking, image, numbers, force=force)
        with output.progress() as report, listening(output.note) as interrupts:
            found = look(looking, keep=lambda known: known.write(numbers), report=report, interrupts=interrupts)
    return _show(output, found, image, numbers, signal=interrupts.stop)


def _numbers(image: Path) -> Path:
    if image.suffix.lower() != ".png":
        raise UsageError(f"{image} is no name of a picture", hint="let it end in .png")
    return image.with_suffix(".json")


def _take_up(output: Output, looking: "Looking", image: Path, numbers: Path, *, force: bool) -> None:
    """Go on with what was begun; nothing else is overwritten unless that is wanted."""
    from aurl.training.landscape import Landscape

    if force:
        return
    if image.exists():
        raise UsageError(f"{image} exists already", hint="choose another --output, or add --force")
    if not numbers.exists():
        return
    known = Landscape.read(numbers)
    if known.question != looking.known.question:
        raise UsageError(f"{numbers} is of something else", hint="choose another --output, or add --force")
    looking.known = known
    output.note(f"going on with {numbers}: {len(known.losses)} of {len(known.steps)} rows are known")


def _show(output: Output, found: "Landscape", image: Path, numbers: Path, *, signal: int | None) -> ExitCode | None:
    if not found.is_whole:
        output.note(f"{len(found.losses)} of {len(found.steps)} rows are in {numbers}; the same command goes on")
        return exit_code(signal or 0)
    from aurl.storage import write_bytes
    from aurl.training.landscape import picture

    write_bytes(image, picture(found))
    output.result("landscape", {"landscape": found, "picture": image, "numbers": numbers}, _text(found, image))
    return None


def _text(found: "Landscape", image: Path) -> str:
    sharp, asked = found.sharpness, found.question
    known = [
        (loss, right, up)
        for up, row in zip(found.steps, found.losses, strict=True)
        for right, loss in zip(found.steps, row, strict=True)
        if loss is not None
    ]
    rows = [("checkpoint", f"{asked.checkpoint} of {asked.run}{' (averaged weights)' if asked.is_average else ''}")]
    rows.append(("windows", f"{asked.windows:,} of the valid split, {found.tokens:,} targets"))
    if found.centre is not None:
        rows.append((asked.loss, f"{found.centre:.4f}"))
    if sharp is not None:
        rows.append(("sharpness", f"{sharp.ascent:.4g} after a step of {sharp.rho:g} up the gradient"))
        rows.append(("gradient norm", f"{sharp.gradient_norm:.4g}"))
        doubt = "" if sharp.converged else ", still changing"
        rows.append(("largest eigenvalue", f"{sharp.eigenvalue:.4g} ({sharp.products} products{doubt})"))
    if known:
        loss, right, up = min(known)
        rows.append(("lowest on the grid", f"{loss:.4f} at ({right:g}, {up:g})"))
    return table([*rows, ("picture", str(image))])

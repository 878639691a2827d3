"""From a run folder to new pieces: what `aurl generate` calls."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from aurl.generation.directions import load_directions
from aurl.generation.load import BEST, Loaded, choose_device, load_run
from aurl.generation.making import FindDirections, Making
from aurl.generation.pieces import Piece, each_piece
from aurl.generation.request import Request
from aurl.progress import Interrupts, Report, silent

ONE_THREAD_PARAMETERS = 50_000_000
"""Models below this decode with one CPU thread unless asked otherwise: the products of a step are too short to be
shared, and two threads on a busy machine were ten times slower than one."""


def generate(
    run_folder: Path,
    request: Request,
    *,
    checkpoint: str = BEST,
    threads: int | None = None,
    device: str = "auto",
    report: Report = silent,
    interrupts: Interrupts | None = None,
    directions: FindDirections = load_directions,
) -> list[Piece]:
    """New pieces by the model of a run.

    Args:
        run_folder: of a trained run.
        request: which pieces.
        checkpoint: "best", "latest" or a checkpoint's name.
        threads: torch's CPU threads; None takes one for models up to 50 M parameters, else leaves them as they are.
        device: "auto", "cpu", "cuda", …
        report: told of seconds or bars made.
        interrupts: when it asks to stop, pieces end where they are and those not begun are left out.
        directions: of attributes, called if the request is about them.

    Raises:
        UsageError: an argument out of range, a length that the run cannot count in, or a wish about latents that its
            model has not.
        NotFoundError: no such run or checkpoint.
        DamagedError: a file of the run differs from its checksum.
        Rejected: a song cannot be used.
    """
    with opened(run_folder, checkpoint=checkpoint, threads=threads, device=device) as loaded:
        return list(each_piece(Making.of(loaded, request, directions=directions), report=report, interrupts=interrupts))


@contextmanager
def opened(
    run_folder: Path, *, checkpoint: str = BEST, threads: int | None = None, device: str = "auto"
) -> Iterator[Loaded]:
    """The model of a run, and torch with as many threads as suit it; arguments and errors are those of `generate`."""
    loaded = load_run(run_folder, checkpoint=checkpoint, device=choose_device(device))
    with using_threads(threads or (1 if loaded.parameters < ONE_THREAD_PARAMETERS else None)):
        yield loaded


@contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Let torch use `count` CPU threads inside the block."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

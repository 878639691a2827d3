"""From a run folder to new pieces: what `aurl generate` calls."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from aurl.generation.load import BEST, choose_device, load_run
from aurl.generation.pieces import Piece, make_pieces
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

    Raises:
        UsageError: an argument out of range, a length that the run cannot count in, or a wish about latents that its
            model has not.
        NotFoundError: no such run or checkpoint.
        DamagedError: a file of the run differs from its checksum.
        Rejected: a song cannot be used.
    """
    loaded = load_run(run_folder, checkpoint=checkpoint, device=choose_device(device))
    with using_threads(threads or (1 if loaded.parameters < ONE_THREAD_PARAMETERS else None)):
        return make_pieces(
            loaded.model,
            loaded.codec,
            request,
            context=loaded.profile.data.seq_len,
            defaults=loaded.profile.generation,
            preprocess=loaded.preprocess,
            report=report,
            interrupts=interrupts,
        )


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

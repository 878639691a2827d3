"""From a run folder to new pieces: what `aurl generate` calls."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from aurl.errors import UsageError
from aurl.generation.engine import MAX_TOKENS
from aurl.generation.load import BEST, Loaded, choose_device, load_run
from aurl.generation.pieces import Piece, make_pieces
from aurl.generation.prompt import Prompt, load_prompt
from aurl.generation.sampling import Sampler
from aurl.midi.score import Score
from aurl.progress import Interrupts, Report, silent

SEED_LIMIT = 2**31
"""Seeds drawn for the user stay short enough to be typed again."""
MAX_SEED = 2**63 - 1
ONE_THREAD_PARAMETERS = 50_000_000
"""Models below this decode with one CPU thread unless asked otherwise: the products of a step are too short to be
shared, and two threads on a busy machine were ten times slower than one."""


def generate(  # noqa: PLR0913 - one argument for each thing that the command can be asked for
    run_folder: Path,
    *,
    count: int = 1,
    seed: int | None = None,
    checkpoint: str = BEST,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    seconds: float | None = None,
    bars: int | None = None,
    prompt: Path | Score | None = None,
    prompt_seconds: float | None = None,
    max_tokens: int = MAX_TOKENS,
    threads: int | None = None,
    device: str = "auto",
    report: Report = silent,
    interrupts: Interrupts | None = None,
) -> list[Piece]:
    """New pieces by the model of a run.

    With `seconds` or `bars` a piece gets that much new music (after the prompt, if any) and ends in its last beat;
    without either it ends when the model ends it, at the latest after `generation.max_seconds` of the run's profile.

    Args:
        run_folder: of a trained run.
        count: how many pieces.
        seed: piece i is made with seed + i; None draws one.
        checkpoint: "best", "latest" or a checkpoint's name.
        temperature: ≥ 0; this and the next three are the profile's where None, see `Sampler`.
        top_k: ≥ 0.
        top_p: 0 to 1.
        min_p: 0 to 1.
        seconds: of new music.
        bars: of new music, in the meter of the prompt or of the piece's header (4/4 without).
        prompt: a song to continue.
        prompt_seconds: how much of it; None for all.
        max_tokens: most ids that are sampled for one piece.
        threads: torch's CPU threads; None takes one for models up to 50 M parameters, else leaves them as they are.
        device: "auto", "cpu", "cuda", …
        report: told of seconds or bars made.
        interrupts: when it asks to stop, pieces end where they are and those not begun are left out.

    Raises:
        UsageError: an argument out of range, or a length that the run cannot count in.
        NotFoundError: no such run or checkpoint.
        DamagedError: a file of the run differs from its checksum.
        Rejected: the prompt cannot be used.
    """
    seed = _checked_seed(seed, count)
    _check_pairs(seconds, bars, prompt, prompt_seconds)
    loaded = load_run(run_folder, checkpoint=checkpoint, device=choose_device(device))
    told = loaded.profile.generation
    asked: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    sampler = Sampler(**{name: getattr(told, name) if value is None else value for name, value in asked.items()})
    with _threads(threads or (1 if loaded.parameters < ONE_THREAD_PARAMETERS else None)):
        return make_pieces(
            loaded.model,
            loaded.codec,
            context=loaded.profile.data.seq_len,
            seeds=range(seed, seed + count),
            sampler=sampler,
            seconds=told.max_seconds if seconds is None else seconds,
            bars=bars,
            may_end=seconds is None and bars is None,
            prompt=_load_prompt(loaded, prompt, prompt_seconds),
            max_tokens=max_tokens,
            max_note_beats=told.max_note_beats,
            report=report,
            interrupts=interrupts,
        )


def _checked_seed(seed: int | None, count: int) -> int:
    if count < 1:
        raise UsageError(f"{count} pieces are nothing to make", hint="give 1 or more")
    chosen = secrets.randbelow(SEED_LIMIT) if seed is None else seed
    if not 0 <= chosen <= MAX_SEED - count:
        raise UsageError(f"seed {chosen} is out of range", hint=f"give a whole number from 0 to {MAX_SEED - count}")
    return chosen


def _check_pairs(
    seconds: float | None, bars: int | None, prompt: Path | Score | None, prompt_seconds: float | None
) -> None:
    if seconds is not None and bars is not None:
        raise UsageError("a piece cannot have a length in seconds and one in bars", hint="give one of them")
    if prompt is None and prompt_seconds is not None:
        raise UsageError("prompt_seconds without a prompt", hint="name a song to continue: --prompt song.mid")


def _load_prompt(loaded: Loaded, song: Path | Score | None, seconds: float | None) -> Prompt | None:
    if song is None:
        return None
    return load_prompt(song, loaded.codec, preprocess=loaded.preprocess, seconds=seconds)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let torch use `count` CPU threads inside the block."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""`aurl generate`: a run → new pieces."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aurl.cli.generate_options import Conditions, Constraints, Latents, Length, Sampling, What, Writing
from aurl.cli.generate_request import make_request
from aurl.cli.given import given_options
from aurl.cli.options import Device, Threads
from aurl.cli.output import Output
from aurl.cli.pieces import write_piece, write_pieces
from aurl.cli.signals import exit_code, listening
from aurl.cli.targets import PAGE_SUFFIX, STANDARD_STREAM, Target, Targets, check_free, check_stdout, plan_targets
from aurl.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from aurl.export.choices import Choices
    from aurl.generation.load import Loaded
    from aurl.generation.pieces import Piece
    from aurl.generation.request import Request
    from aurl.progress import Interrupts

TOLD_OTHERWISE = ("run", "run_option", "checkpoint", "count", "seed")
"""Options of pieces that the result tells in another place, or that are not asked of the model."""


def generate(
    output: Output,
    *,
    what: What,
    length: Length,
    sampling: Sampling,
    constraints: Constraints,
    conditions: Conditions,
    latents: Latents,
    writing: Writing,
    threads: Threads = None,
    device: Device = None,
) -> ExitCode | None:
    """Write new pieces with a trained model: from nothing, after a song, like one, or between two."""
    from aurl.generation.generate import opened

    folder = _run_folder(output, what)
    groups = (what, length, sampling, constraints, conditions, latents)
    asked = {name: value for group in groups for name, value in asdict(group).items() if name not in TOLD_OTHERWISE}
    request = make_request(*groups)
    targets = _targets(output, writing, request)
    with (
        opened(folder, checkpoint=what.checkpoint, threads=threads, device=device or "auto") as loaded,
        listening(output.note) as interrupts,
    ):
        facts = {"run": folder, "mode": loaded.profile.model.mode, "checkpoint": what.checkpoint, **asked}
        choices = _choices(loaded, request, asked, device, threads) if writing.choices else None
        if writing.stream:
            from aurl.cli.streaming import print_stream

            keep = partial(write_piece, output, targets=targets, choices=choices)
            print_stream(output, loaded, request, keep, facts=facts, interrupts=interrupts)
        else:
            write_pieces(output, _pieces(output, loaded, request, interrupts), targets, facts=facts, choices=choices)
    return None if interrupts.stop is None else exit_code(interrupts.stop)


def _run_folder(output: Output, what: What) -> Path:
    from aurl.home import Home

    if what.run and what.run_option and what.run != what.run_option:
        raise UsageError(f"{what.run} and --run {what.run_option} are two runs", hint="name one of them")
    name = what.run or what.run_option
    folder = Home.locate().run(name)
    if name is None:
        output.note(f"run: {folder.name}, the latest")
    return folder


def _targets(output: Output, writing: Writing, request: "Request") -> Targets:
    outs = writing.out or []
    if writing.stream and (STANDARD_STREAM in outs or any(out.endswith(PAGE_SUFFIX) for out in outs)):
        raise UsageError("--stream writes to stdout itself, and makes no page", hint="write to files: -o out.mid")
    check_stdout(output, outs, request.total)
    if writing.stream and not outs and writing.picture is None:
        return Targets(tuple(Target(()) for _ in range(request.total)))
    if request.interpolate and not outs:
        outs = [f"aurl-{request.seed}.mid"]  # all steps have one seed: their numbers tell them apart
    targets = plan_targets(
        outs,
        writing.picture,
        count=request.total,
        seed=request.seed,
        choices=writing.choices,
        soundfont=writing.soundfont,
    )
    if not writing.force:
        check_free(targets)
    return targets


def _choices(
    loaded: "Loaded", request: "Request", asked: Mapping[str, Any], device: str | None, threads: int | None
) -> "Choices":
    from aurl.export.choices import gather_choices

    return gather_choices(
        loaded.run,
        request,
        defaults=loaded.profile.generation,
        checkpoint=loaded.checkpoint.name,
        device=device,
        threads=threads,
        command=given_options(generate, asked, without=()),
    )


def _pieces(output: Output, loaded: "Loaded", request: "Request", interrupts: "Interrupts") -> Iterator["Piece"]:
    """Each piece when it is made; the last of the progress is shown before anything is said of them."""
    from aurl.generation.making import Making
    from aurl.generation.pieces import each_piece
    from aurl.latent.directions import ensure_directions

    with output.progress() as report:
        making = Making.of(loaded, request, directions=partial(ensure_directions, report=report))
        yield from each_piece(making, report=report, interrupts=interrupts)

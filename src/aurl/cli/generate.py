"""`aurl generate`: a run → new pieces as MIDI."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aurl.cli.options import Device, Force, Threads, complete_runs
from aurl.cli.output import Output
from aurl.cli.pieces import Target, check_free, check_stdout, plan_targets, read_songs, write_pieces
from aurl.cli.signals import exit_code, listening
from aurl.errors import ExitCode

if TYPE_CHECKING:
    from aurl.generation.pieces import Piece
    from aurl.generation.request import Request

RunName = Annotated[
    str | None,
    typer.Option(
        "--run",
        "-r",
        metavar="NAME|FOLDER",
        help="Name or folder of the run; the latest by default.",
        autocompletion=complete_runs,
    ),
]
Checkpoint = Annotated[
    str, typer.Option("--checkpoint", metavar="best|latest|NAME", help="Which state of the model; the best by default.")
]
Out = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="FILE|FOLDER|-", help="Where to write; - for stdout; aurl-SEED.mid by default."
    ),
]
Count = Annotated[int, typer.Option("--count", "-n", min=1, metavar="N", help="How many pieces; they are numbered.")]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, metavar="N", help="The same seed, the same bytes; drawn by default.")
]
Temperature = Annotated[
    float | None,
    typer.Option("--temperature", "-t", metavar="T", help="Below 1 safer, above 1 bolder; 0 takes the likeliest."),
]
TopK = Annotated[
    int | None, typer.Option("--top-k", metavar="K", help="Draw from the K likeliest events only; 0: from all.")
]
TopP = Annotated[
    float | None,
    typer.Option("--top-p", metavar="P", help="Draw from the likeliest events that have probability P together."),
]
MinP = Annotated[
    float | None,
    typer.Option("--min-p", metavar="P", help="Drop events less likely than P times the likeliest."),
]
Seconds = Annotated[float | None, typer.Option("--seconds", metavar="S", help="Seconds of new music.")]
Bars = Annotated[int | None, typer.Option("--bars", min=1, metavar="N", help="Bars of new music.")]
PromptFile = Annotated[
    str | None,
    typer.Option("--prompt", metavar="FILE|-", help="A MIDI file or written music to continue; - for MIDI from stdin."),
]
PromptSeconds = Annotated[
    float | None, typer.Option("--prompt-seconds", metavar="S", help="Continue after its first S seconds.")
]
Like = Annotated[
    str | None,
    typer.Option(
        "--like",
        metavar="FILE|-",
        help="A song whose latents are taken, and its length; needs a model of mode vae or vae_gan.",
    ),
]
Variation = Annotated[
    float,
    typer.Option("--variation", metavar="V", help="How far from the song; 1: as uncertain as the encoder is of it."),
]
Style = Annotated[
    str | None, typer.Option("--style", metavar="NAME", help="One of the styles that the run knows; see latent.style.")
]
LatentTemperature = Annotated[
    float | None,
    typer.Option(
        "--latent-temperature", metavar="T", help="How far latents of the prior are from its centre; 1 as trained."
    ),
]
Picture = Annotated[Path | None, typer.Option("--picture", metavar="FILE.png", help="Draw each piece as a piano roll.")]

ASKED = (
    "prompt_seconds",
    "variation",
    "style",
    "latent_temperature",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "seconds",
    "bars",
)
"""Of a request, told in the JSON result as they are."""


def generate(
    output: Output,
    *,
    run: RunName = None,
    checkpoint: Checkpoint = "best",
    out: Out = None,
    count: Count = 1,
    seed: Seed = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    seconds: Seconds = None,
    bars: Bars = None,
    prompt: PromptFile = None,
    prompt_seconds: PromptSeconds = None,
    like: Like = None,
    variation: Variation = 0.0,
    style: Style = None,
    latent_temperature: LatentTemperature = None,
    picture: Picture = None,
    threads: Threads = None,
    device: Device = None,
    force: Force = False,
) -> ExitCode | None:
    """Write new pieces with a trained model."""
    from aurl.generation.request import Request, draw_seed

    folder = _run_folder(output, run)
    continued, liked = read_songs(prompt, like)
    request = Request(
        count=count,
        seed=draw_seed() if seed is None else seed,
        seconds=seconds,
        bars=bars,
        prompt=continued,
        prompt_seconds=prompt_seconds,
        like=liked,
        variation=variation,
        style=style,
        latent_temperature=latent_temperature,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
    )
    targets = _targets(output, out, picture, request, force=force)
    pieces, stop = _make(output, folder, request, checkpoint=checkpoint, threads=threads, device=device)
    write_pieces(output, pieces, targets, facts=_facts(folder, request, checkpoint, prompt=prompt, like=like))
    return None if stop is None else exit_code(stop)


def _run_folder(output: Output, run: str | None) -> Path:
    from aurl.home import Home

    folder = Home.locate().run(run)
    if run is None:
        output.note(f"run: {folder.name}, the latest")
    return folder


def _targets(output: Output, out: str | None, picture: Path | None, request: "Request", *, force: bool) -> list[Target]:
    check_stdout(output, out, request.count)
    targets = list(plan_targets(out, picture, count=request.count, seed=request.seed))
    if not force:
        check_free(targets)
    return targets


def _facts(run: Path, request: "Request", checkpoint: str, **asked: str | None) -> dict[str, object]:
    """What makes the same pieces again, seeds apart; null is what the run's profile says."""
    from aurl.profile import read_resolved

    mode = read_resolved(run / "profile.toml").model.mode
    facts = {"run": run, "mode": mode, "checkpoint": checkpoint, **asked}
    return facts | {name: getattr(request, name) for name in ASKED}


def _make(
    output: Output, run: Path, request: "Request", *, checkpoint: str, threads: int | None, device: str | None
) -> tuple[list["Piece"], int | None]:
    """The pieces, and the signal that ended them early, if any."""
    from aurl.generation.generate import generate

    with output.progress() as report, listening(output.note) as interrupts:
        pieces = generate(
            run,
            request,
            checkpoint=checkpoint,
            threads=threads,
            device=device or "auto",
            report=report,
            interrupts=interrupts,
        )
    return pieces, interrupts.stop

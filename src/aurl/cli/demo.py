"""`aurl demo`: prepare, train and generate on real music that is already on the disk."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aurl.cli.options import MaxMinutes, MaxSteps, Overrides, Threads
from aurl.cli.output import Output, table
from aurl.cli.signals import exit_code, listening
from aurl.errors import ExitCode

if TYPE_CHECKING:
    from aurl.demo.run import DemoResult

PROFILE = "demo"
FOLDER = Path("aurl-demo")


def demo(
    output: Output,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where the MIDI files and the new pieces are put.")
    ] = FOLDER,
    scores: Annotated[
        int | None, typer.Option("--scores", min=4, metavar="N", help="Use only this many chorales; all by default.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of training and of the new pieces.")] = 0,
    max_steps: MaxSteps = None,
    max_minutes: MaxMinutes = None,
    overrides: Overrides = None,
    threads: Threads = None,
) -> ExitCode | None:
    """Train on Bach's chorales for a few minutes and write three new ones."""
    from aurl.demo.run import run_demo
    from aurl.home import Home
    from aurl.profile import load_profile

    flags = {"training.max_steps": max_steps, "training.max_minutes": max_minutes, "training.seed": seed}
    profile = load_profile([PROFILE], overrides or (), flags=flags)
    output.note(f"This is what follows, on the chorales in {folder / 'midi'}; everything it makes stays there:")
    with output.progress() as report, listening(output.note) as interrupts:
        result = run_demo(
            profile,
            folder,
            Home.locate(),
            scores=scores,
            seed=seed,
            threads=threads,
            announce=lambda command: output.note(f"$ {command}"),
            report=report,
            interrupts=interrupts,
        )
    output.result("demo", result, _text(result))
    if interrupts.stop is not None:
        return exit_code(interrupts.stop)
    output.note(_next_steps(result))
    return None


def _text(result: "DemoResult") -> str:
    rows = [("chorales", str(result.midi_folder)), ("pieces", f"{result.prepared.prepared:,} prepared")]
    if result.trained is not None:
        rows.append(("trained", f"{result.trained.step:,} steps of {result.trained.parameters:,} parameters"))
    if result.baseline is not None:
        rows.append(("likelihood", _verdict(result)))
    rows += [("new piece", str(path)) for path in result.pieces]
    if result.picture is not None:
        rows.append(("picture", str(result.picture)))
    return table(rows)


def _verdict(result: "DemoResult") -> str:
    best = result.trained.best_nats_per_note if result.trained else None
    if best is None or result.baseline is None:
        return "the model was never validated: too few pieces or steps"
    chance = result.baseline.nats_per_note
    relation = "better than" if result.beats_baseline else "NOT better than"
    return (
        f"{best:.2f} nats per note on unheard chorales, {relation} a {result.baseline_order}-gram model's {chance:.2f}"
    )


def _next_steps(result: "DemoResult") -> str:
    run = result.trained.run_folder.name if result.trained else "demo"
    chorale = next(iter(sorted(result.midi_folder.glob("*.mid"))), result.midi_folder)
    return "\n".join(
        (
            "Now try:",
            f"  aurl generate --run {run} --temperature 0.8 -n 5 -o more.mid --picture more.png",
            f"  aurl generate --run {run} --prompt {chorale} --prompt-seconds 8 -o continued.mid",
            f"  aurl resume {run} --max-minutes 30",
            "  aurl prepare YOUR_MIDI_FOLDER && aurl train",
        )
    )

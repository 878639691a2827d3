"""The `aurl` command: its subcommands, and the one way out of the process."""

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn

import typer

from aurl import __version__
from aurl.cli import cache, inspect_latent, inspect_latent_made, profile, runs, runs_checkpoints
from aurl.cli.command import with_output
from aurl.cli.demo import demo
from aurl.cli.generate import generate
from aurl.cli.grouped import PanelledCommand
from aurl.cli.landscape import landscape
from aurl.cli.output import PROGRAM, Output
from aurl.cli.prepare import prepare
from aurl.cli.resume import resume
from aurl.cli.scale import scale
from aurl.cli.signals import exit_on_terminate
from aurl.cli.train import train
from aurl.cli.tune import tune
from aurl.errors import UsageError

COMMANDS: tuple[Callable[..., Any], ...] = (prepare, train, resume, generate, tune, scale, landscape, demo)
"""In the order of `aurl --help`; the function's name is the command's."""
GROUPS: dict[str, tuple[str, Sequence[Callable[..., Any]]]] = {
    "profile": ("List, show, write and check profiles.", profile.COMMANDS),
    "runs": ("List, show, compare and clean runs.", (*runs.COMMANDS, *runs_checkpoints.COMMANDS)),
    "inspect-latent": (
        "See what latents of a model say, and hear what they do.",
        (*inspect_latent.COMMANDS, *inspect_latent_made.COMMANDS),
    ),
    "cache": ("Look at, check, mend and trim what has been prepared once.", cache.COMMANDS),
}
"""Commands that have subcommands."""

app = typer.Typer(
    name=PROGRAM,
    help="Train a model of your own MIDI library and generate with it: aurl prepare ./midi, aurl train, aurl generate.",
    epilog="Exit codes: 0 ok, 1 failure, 2 usage, 3 some inputs rejected, 10 not found, 11 locked, 12 damaged, "
    "130/143 interrupted after saving.",
    # Plain help: Rich's costs as much time to import as all the rest.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train a model of your own MIDI library and generate with it."""


def _register(group: typer.Typer, commands: Sequence[Callable[..., Any]]) -> None:
    for command in commands:
        group.command(command.__name__, cls=PanelledCommand)(with_output(command))


_register(app, COMMANDS)
for name, (summary, commands) in GROUPS.items():
    group = typer.Typer(name=name, help=summary, rich_markup_mode=None)
    _register(group, commands)
    app.add_typer(group)


def run(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code.

    Args:
        args: without the program's name; those of the process by default.
    """
    given = list(sys.argv[1:] if args is None else args) or ["--help"]
    exit_on_terminate()
    command = typer.main.get_command(app)
    try:
        code = command.main(given, prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as error:
        code = _report_usage(error, as_json="--json" in given)
    sys.exit(code or 0)


def _report_usage(error: typer.TyperException, *, as_json: bool) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else PROGRAM
    usage = UsageError(error.format_message().rstrip("."), hint=f"see {path} --help")
    Output(as_json=as_json).error(usage)
    return usage.exit_code

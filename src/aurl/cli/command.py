"""What all commands share: the flags, the one-line errors, the exit codes."""

import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from aurl.cli.grouped import flattened, gathered
from aurl.cli.logs import keep_traceback, show_logs
from aurl.cli.output import PROGRAM, Output
from aurl.errors import AurlError, ExitCode

P = ParamSpec("P")

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors on stderr.")]
Verbose = Annotated[
    int, typer.Option("--verbose", "-v", count=True, show_default=False, help="Say more on stderr; twice: even more.")
]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="Show no progress.")]

SHARED = tuple(
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
    for name, default, annotation in (
        ("as_json", False, Json),
        ("quiet", False, Quiet),
        ("verbose", 0, Verbose),
        ("no_progress", False, NoProgress),
    )
)


def with_output(command: Callable[Concatenate[Output, P], ExitCode | None]) -> Callable[..., int]:
    """`command` as Typer sees it: its first parameter, the output, is made from the shared flags.

    Parameters that are dataclasses of options are made of those, see `aurl.cli.grouped`. Whatever the command raises
    becomes one line on stderr and an exit code.
    """
    signature = inspect.signature(command, eval_str=True)
    own = list(signature.parameters.values())[1:]
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in flattened(own)]

    def wrapper(*, as_json: bool, quiet: bool, verbose: int, no_progress: bool, **options: Any) -> int:
        output = Output(as_json=as_json, quiet=quiet, verbosity=verbose, progress=not no_progress)
        show_logs(output.line, verbosity=verbose, quiet=quiet)
        return guarded(output, lambda: command(output, **gathered(own, options)))  # type: ignore[call-arg]

    wrapper.__name__ = command.__name__
    wrapper.__doc__ = command.__doc__
    wrapper.__annotations__ = {p.name: p.annotation for p in (*parameters, *SHARED)}
    wrapper.__signature__ = signature.replace(parameters=[*parameters, *SHARED])  # type: ignore[attr-defined]
    return wrapper


def guarded(output: Output, action: Callable[[], ExitCode | None]) -> int:
    """Run `action`; its failure becomes a line on stderr, a traceback in the log file and an exit code."""
    try:
        return action() or ExitCode.OK
    except KeyboardInterrupt:
        output.line(f"{PROGRAM}: interrupted")
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last place where a fault can become a line and an exit code
        kept = keep_traceback(error)
        shown = error if isinstance(error, AurlError) else _as_aurl_error(error, kept)
        output.error(shown)
        if output.verbosity:
            output.line(traceback.format_exc())
        return shown.exit_code


def _as_aurl_error(error: Exception, log: Path | None) -> AurlError:
    where = f"the traceback is in {log}" if log else "run it again with -v to see the traceback"
    if isinstance(error, OSError) and error.strerror:
        file = f"{error.filename}: " if error.filename else ""
        return AurlError(f"{file}{error.strerror}", hint=where)
    if isinstance(error, MemoryError):
        return AurlError("there is not enough memory", hint=f"try a smaller data.batch_size or data.seq_len; {where}")
    reason = str(error).strip().partition("\n")[0]
    return AurlError(f"{type(error).__name__}: {reason}", hint=f"this is probably a fault in {PROGRAM}; {where}")

"""All that the command line says: results on stdout, everything else on stderr."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import Any

from aurl.errors import AurlError, ExitCode
from aurl.progress import Report, silent

SCHEMA_VERSION = 1
"""Version of every object that `--json` prints; a change that breaks its readers raises it."""
PROGRAM = "aurl"
_SAME_ON_ALL_RANKS = (ExitCode.USAGE, ExitCode.NOT_FOUND)


def rank() -> int:
    """Which of several training processes this is; 0 prints the results."""
    return int(os.environ.get("RANK", "0"))


def printable(text: str) -> str:
    """`text` with control and undecodable characters escaped, so that a file name cannot steer the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def plain(value: Any) -> Any:
    """Dataclasses, paths, numbers of numpy and the like as what JSON knows; numbers that are not finite become null.

    Text stays as it is, so that a script finds the file that a path names: JSON has escapes of its own.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, str | Path | Enum):
        return str(value.value if isinstance(value, Enum) else value)
    if isinstance(value, Sequence | Set):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if isinstance(value, float) and not isfinite(value) else value


def table(rows: Iterable[Sequence[object]], *, indent: str = "") -> str:
    """Rows as aligned columns; columns of numbers are aligned on the right."""
    columns = [_aligned([printable(str(cell)) for cell in column]) for column in zip(*rows, strict=True)]
    return "\n".join((indent + "  ".join(row)).rstrip() for row in zip(*columns, strict=True))


def _aligned(column: list[str]) -> list[str]:
    """Cells of equal width; on the right where all but the first, which may be a heading, are numbers."""
    width = max(map(len, column))
    numeric = len(column) > 1 and all(cell.replace(",", "").replace(".", "").isdigit() for cell in column[1:])
    return [cell.rjust(width) if numeric else cell.ljust(width) for cell in column]


class Output:
    """Where a command says things.

    Args:
        as_json: results are one JSON object.
        quiet: nothing on stderr but errors.
        verbosity: 1 tells what the library logs, 2 also what helps to find faults.
        progress: show progress, unless quiet.
    """

    def __init__(
        self, *, as_json: bool = False, quiet: bool = False, verbosity: int = 0, progress: bool = True
    ) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.verbosity = verbosity
        self._progress = progress and not quiet
        self._rank = rank()
        self._has_told = False
        self._write: Callable[[str], None] = _to_stderr

    def result(self, name: str, value: Any, text: str) -> None:
        """Print what the command was called for: the JSON of `value` (a dataclass or mapping), or `text`."""
        if self._rank == 0:
            self._has_told = True
            schema = {"schema": f"{PROGRAM}.{name}/{SCHEMA_VERSION}"}
            shown = json.dumps(schema | plain(value), indent=2, allow_nan=False) if self.as_json else printable(text)
            self.raw((shown + "\n").encode(sys.stdout.encoding, "backslashreplace"))

    def raw(self, value: bytes) -> None:
        """Write bytes to stdout as they are; where nobody reads on, end quietly."""
        try:
            sys.stdout.flush()
            sys.stdout.buffer.write(value)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # What is left in the buffer would raise once more when Python exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(ExitCode.FAILURE)

    def note(self, message: str) -> None:
        """Tell what a person wants to know and a script does not."""
        if not self.quiet and self._rank == 0:
            self.line(message)

    def line(self, message: str) -> None:
        """One line on stderr, whatever the flags say."""
        self._write(printable(message))

    def error(self, error: AurlError) -> None:
        """One line: what went wrong, and what to do next; as JSON, too, unless there was a result before."""
        if self._rank and error.exit_code in _SAME_ON_ALL_RANKS:
            return
        who = f"{PROGRAM} [process {self._rank}]" if self._rank else PROGRAM
        hint = f"{separator(error.message)}{error.hint}" if error.hint else ""
        self.line(f"{who}: error: {error.message}{hint}")
        if self.as_json and not self._has_told:
            self.result("error", {"error": error.message, "hint": error.hint, "exit_code": int(error.exit_code)}, "")

    @contextmanager
    def progress(self, *, live: bool = False) -> Iterator[Report]:
        """A callback to report progress to: bars on a terminal, a panel if it is `live`; else a line now and then."""
        if not self._progress or self._rank:
            yield silent
            return
        from aurl.cli.bars import bars, lines

        if not sys.stderr.isatty():
            yield lines(self.line)
            return
        if live:
            from aurl.cli.live import panel as drawing
        else:
            drawing = bars
        with drawing() as (report, write):
            self._write, before = write, self._write
            try:
                yield report
            finally:
                self._write = before


def separator(message: str) -> str:
    """What stands between a message and its hint: a message of several lines has the hint on its own."""
    return "\n" if "\n" in message else "; "


def _to_stderr(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()

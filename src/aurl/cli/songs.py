"""Songs that a command is given: files, or what stdin holds."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aurl.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from aurl.midi.score import Score

STANDARD_STREAM = "-"


def read_songs(given: Sequence[tuple[str, str | None]]) -> "list[Path | Score | None]":
    """The songs behind some options: their paths, what stdin holds, or None where nothing is given.

    Args:
        given: option, and its value.

    Raises:
        NotFoundError: there is no such file.
        UsageError: several are to come from stdin.
        Rejected: stdin holds no music that can be used.
    """
    from_stdin = [option for option, name in given if name == STANDARD_STREAM]
    if len(from_stdin) > 1:
        raise UsageError("only one song fits on stdin", hint=f"give the other one as a file: {from_stdin[-1]} song.mid")
    return [_read_song(name, option) for option, name in given]


def _read_song(name: str | None, option: str) -> "Path | Score | None":
    if name == STANDARD_STREAM:
        from aurl.generation.prompt import read_song
        from aurl.midi.prescan import MAX_BYTES

        return read_song(sys.stdin.buffer.read(MAX_BYTES + 1), "stdin")
    if name is not None and not Path(name).is_file():
        raise NotFoundError(f"{option}: there is no file {name}", hint=f"give a MIDI file: {option} song.mid")
    return None if name is None else Path(name)

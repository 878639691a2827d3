"""Where new pieces are written, and what is said of them."""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aurl.cli.bars import duration
from aurl.cli.output import Output, table
from aurl.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from aurl.generation.pieces import Piece
    from aurl.midi.score import Score

STANDARD_STREAM = "-"
MIDI_SUFFIXES = (".mid", ".midi")
PICTURE_SUFFIX = ".png"


@dataclass(frozen=True, slots=True)
class Target:
    """Where one piece goes: its file, None for stdout, and its picture, if any."""

    midi: Path | None
    picture: Path | None


@dataclass(frozen=True, slots=True)
class Written:
    """One piece as the command reports it."""

    path: Path | None
    picture: Path | None
    seed: int
    seconds: float
    notes: int
    tokens: int
    nats_per_token: float
    ended: str
    latents: dict[str, int]


def plan_targets(out: str | None, picture: Path | None, *, count: int, seed: int) -> Iterator[Target]:
    """Where each piece goes: numbered where there are several, by its seed where only a folder, or nothing, is given.

    Raises:
        UsageError: a name ends in something else than what is written.
    """
    if picture is not None and picture.suffix.lower() != PICTURE_SUFFIX:
        raise UsageError(f"--picture {picture} is no {PICTURE_SUFFIX} file", hint="pictures are written as PNG")
    file, folder = _split_output(out)
    for index in range(count):
        name = folder / f"aurl-{seed + index}.mid" if file is None else _numbered(file, index, count)
        midi = None if out == STANDARD_STREAM else name
        yield Target(midi, picture and _numbered(picture, index, count))


def _split_output(out: str | None) -> tuple[Path | None, Path]:
    """The file that is named, if any, and the folder for files that are not."""
    if out is None or out == STANDARD_STREAM:
        return None, Path()
    path = Path(out).expanduser()
    if path.is_dir() or out.endswith(("/", os.sep)):
        return None, path
    if path.suffix.lower() not in MIDI_SUFFIXES:
        hint = "only MIDI can be written: -o out.mid" if path.suffix else f"a folder to be made ends in /: -o {out}/"
        raise UsageError(f"-o {out} is neither a .mid file nor a folder", hint=hint)
    return path, path.parent


def _numbered(path: Path, index: int, count: int) -> Path:
    return path if count == 1 else path.with_stem(f"{path.stem}-{index + 1:0{len(str(count))}}")


def check_stdout(output: Output, out: str | None, count: int) -> None:
    """Refuse what cannot go to stdout.

    Raises:
        UsageError: several pieces, JSON beside MIDI, or a terminal.
    """
    if out != STANDARD_STREAM:
        return
    if count > 1 or output.as_json:
        raise UsageError("only one thing fits on stdout", hint="write to files: -o out.mid")
    if sys.stdout.isatty():
        raise UsageError("MIDI is not for a terminal", hint="send it on, as in: aurl generate -o - > out.mid")


def check_free(targets: list[Target]) -> None:
    """Refuse to overwrite.

    Raises:
        UsageError: a file exists.
    """
    taken = [path for target in targets for path in (target.midi, target.picture) if path is not None and path.exists()]
    if taken:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise UsageError(f"{taken[0]}{more} would be overwritten", hint="choose another name, or add --force")


def read_songs(prompt: str | None, like: str | None) -> "tuple[Path | Score | None, Path | Score | None]":
    """The song to continue and the one to be like: their paths, or what stdin holds.

    Raises:
        NotFoundError: there is no such file.
        UsageError: both are to come from stdin.
        Rejected: stdin holds no usable MIDI.
    """
    if prompt == like == STANDARD_STREAM:
        raise UsageError("only one song fits on stdin", hint="give the other one as a file: --like song.mid")
    return _read_song(prompt, "--prompt"), _read_song(like, "--like")


def _read_song(name: str | None, option: str) -> "Path | Score | None":
    if name == STANDARD_STREAM:
        from aurl.midi.prescan import MAX_BYTES
        from aurl.midi.read import read_score

        return read_score(sys.stdin.buffer.read(MAX_BYTES + 1), name="stdin").score
    if name is not None and not Path(name).is_file():
        raise NotFoundError(f"{option}: there is no file {name}", hint=f"give a MIDI file: {option} song.mid")
    return None if name is None else Path(name)


def write_pieces(output: Output, pieces: "list[Piece]", targets: list[Target], *, facts: Mapping[str, object]) -> None:
    """Write the pieces that were made to the first of the targets and, unless they went to stdout, say so.

    Args:
        output: where it is said.
        pieces: what was made.
        targets: where it goes.
        facts: what else the JSON tells.
    """
    written = [_write_piece(output, piece, target) for piece, target in zip(pieces, targets, strict=False)]
    if targets[0].midi is not None:
        output.result("generate", {**facts, "pieces": written}, _describe(written))


def _write_piece(output: Output, piece: "Piece", target: Target) -> Written:
    from aurl.export.picture import save_picture
    from aurl.midi.clock import seconds_at
    from aurl.midi.write import save_midi, write_midi

    if target.midi is None:
        output.raw(write_midi(piece.score))
    else:
        save_midi(piece.score, target.midi)
    if target.picture is not None:
        save_picture(piece.score, target.picture, title=f"seed {piece.seed}")
    return Written(
        path=target.midi,
        picture=target.picture,
        seed=piece.seed,
        seconds=float(seconds_at(piece.score, [piece.score.end_tick])[0]),
        notes=piece.score.note_count,
        tokens=piece.sampled,
        nats_per_token=piece.nats_per_token,
        ended=piece.ended,
        latents=piece.latents,
    )


def _describe(written: list[Written]) -> str:
    """One line for each piece."""
    rows = [
        (
            str(piece.path),
            duration(piece.seconds),
            f"{piece.notes:,} notes",
            f"seed {piece.seed}",
            str(piece.picture or ""),
        )
        for piece in written
    ]
    return table(rows) if rows else "no piece was begun"

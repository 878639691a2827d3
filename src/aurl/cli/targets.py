"""Where new pieces go: which files, of which kinds, and what is refused before anything is made."""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aurl.cli.output import Output
from aurl.errors import NotFoundError, UsageError

STANDARD_STREAM = "-"
MIDI_SUFFIXES = (".mid", ".midi")
NOTATION_SUFFIXES = (".musicxml", ".xml", ".mxl")
AUDIO_SUFFIX, PICTURE_SUFFIX, PAGE_SUFFIX = ".wav", ".png", ".html"
CHOICES_SUFFIX = ".json"
SUFFIXES = (*MIDI_SUFFIXES, *NOTATION_SUFFIXES, AUDIO_SUFFIX, PICTURE_SUFFIX, PAGE_SUFFIX)


@dataclass(frozen=True, slots=True)
class Target:
    """Where one piece goes.

    Args:
        files: their suffixes say what they are.
        on_stdout: its MIDI goes to stdout, too.
        choices: where it is told how it was made.
    """

    files: tuple[Path, ...]
    on_stdout: bool = False
    choices: Path | None = None


@dataclass(frozen=True, slots=True)
class Targets:
    """Where all pieces go.

    Args:
        pieces: one for each.
        pages: pages that play all of them.
        soundfont: what sound files are played with; None for the usual one.
    """

    pieces: tuple[Target, ...]
    pages: tuple[Path, ...] = ()
    soundfont: Path | None = None

    @property
    def files(self) -> Iterator[Path]:
        """Everything that is written."""
        for target in self.pieces:
            yield from target.files
            if target.choices is not None:
                yield target.choices
        yield from self.pages


def plan_targets(
    outs: Sequence[str],
    picture: Path | None = None,
    *,
    count: int,
    seed: int,
    choices: bool = False,
    soundfont: Path | None = None,
) -> Targets:
    """Where each piece goes: numbered where there are several, by its seed where only a folder, or nothing, is given.

    Args:
        outs: files, folders and `-`, as they were given.
        picture: a picture beside them.
        count: how many pieces.
        seed: of the first.
        choices: a JSON file beside the first file of each piece.
        soundfont: what sound files are played with.

    Raises:
        UsageError: a name ends in something else than what is written, or is given twice, or something is asked for
            files that are not written.
        NotFoundError: there is no such soundfont.
    """
    if picture is not None and picture.suffix.lower() != PICTURE_SUFFIX:
        raise UsageError(f"--picture {picture} is no {PICTURE_SUFFIX} file", hint="pictures are written as PNG")
    named: list[tuple[Path | None, Path]] = [_split_output(out) for out in outs if out != STANDARD_STREAM]
    named += [] if outs else [(None, Path())]
    named += [] if picture is None else [(picture, picture.parent)]
    pages = tuple(file for file, _ in named if file is not None and file.suffix.lower() == PAGE_SUFFIX)
    named = [(file, folder) for file, folder in named if file not in pages]
    pieces = []
    for index in range(count):
        default = f"aurl-{seed + index}.mid"
        files = tuple(folder / default if file is None else _numbered(file, index, count) for file, folder in named)
        beside = files[0] if files else next((_numbered(page, index, count) for page in pages), None)
        told = _beside(beside) if choices else None
        pieces.append(Target(files, on_stdout=STANDARD_STREAM in outs, choices=told))
    targets = Targets(tuple(pieces), pages, soundfont)
    _check_names(targets)
    return targets


def _split_output(out: str) -> tuple[Path | None, Path]:
    """The file that is named, if any, and the folder for files that are not."""
    path = Path(out).expanduser()
    if path.is_dir() or out.endswith(("/", os.sep)):
        return None, path
    if path.suffix.lower() not in SUFFIXES:
        hint = f"known: {', '.join(SUFFIXES)}" if path.suffix else f"a folder to be made ends in /: -o {out}/"
        raise UsageError(f"-o {out} is neither a file of a known kind nor a folder", hint=hint)
    return path, path.parent


def _numbered(path: Path, index: int, count: int) -> Path:
    return path if count == 1 else path.with_stem(f"{path.stem}-{index + 1:0{len(str(count))}}")


def _beside(file: Path | None) -> Path:
    if file is None:
        raise UsageError("--choices is written beside a file, and none is", hint="name one: -o out.mid")
    return file.with_suffix(CHOICES_SUFFIX)


def _check_names(targets: Targets) -> None:
    twice = next((path for path, times in Counter(targets.files).items() if times > 1), None)
    if twice is not None:
        raise UsageError(f"{twice} would be written twice", hint="give each output a name of its own")
    font = targets.soundfont
    if font is None:
        return
    if not any(path.suffix.lower() == AUDIO_SUFFIX for path in targets.files):
        raise UsageError("--soundfont is for sound files, and none is written", hint="ask for one: -o out.wav")
    if not font.is_file():
        raise NotFoundError(f"--soundfont: there is no file {font}", hint="give an .sf2 or .sf3 file")


def check_stdout(output: Output, outs: Sequence[str], count: int) -> None:
    """Refuse what cannot go to stdout.

    Raises:
        UsageError: several pieces, JSON beside MIDI, or a terminal.
    """
    if STANDARD_STREAM not in outs:
        return
    if count > 1 or output.as_json:
        raise UsageError("only one thing fits on stdout", hint="write to files: -o out.mid")
    if sys.stdout.isatty():
        raise UsageError("MIDI is not for a terminal", hint="send it on, as in: aurl generate -o - > out.mid")


def check_free(targets: Targets) -> None:
    """Refuse to overwrite.

    Raises:
        UsageError: a file exists.
    """
    taken = [path for path in targets.files if path.exists()]
    if taken:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise UsageError(f"{taken[0]}{more} would be overwritten", hint="choose another name, or add --force")

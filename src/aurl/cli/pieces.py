"""How new pieces are written, and what is said of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aurl.cli.bars import duration
from aurl.cli.output import Output, table
from aurl.cli.targets import AUDIO_SUFFIX, NOTATION_SUFFIXES, PICTURE_SUFFIX, Targets

if TYPE_CHECKING:
    from aurl.export.choices import Choices
    from aurl.export.page import Shown
    from aurl.generation.pieces import Piece
    from aurl.midi.score import Score


@dataclass(frozen=True, slots=True)
class Written:
    """One piece as the command reports it; `path` is its first file, None if there is none."""

    path: Path | None
    picture: Path | None
    files: tuple[Path, ...]
    choices: Path | None
    seed: int
    seconds: float
    notes: int
    tokens: int
    nats_per_token: float
    ended: str
    latents: dict[str, int]
    broken: tuple[str, ...]


def write_pieces(
    output: Output,
    pieces: "Iterable[Piece]",
    targets: Targets,
    *,
    facts: Mapping[str, object],
    choices: "Choices | None" = None,
) -> None:
    """Write the pieces that are made, each as soon as it is there, to the target of its number, and say so.

    Nothing is said where a piece went to stdout.

    Args:
        output: where it is said.
        pieces: what is made.
        targets: where it goes.
        facts: what else the JSON tells.
        choices: what was chosen for all of them; told beside each where its target asks for it.
    """
    written, shown = [], []
    for piece in pieces:
        written.append(write_piece(output, piece, targets, choices=choices))
        if targets.pages:
            shown.append(_shown(piece, written[-1], facts))
    pages = targets.pages if shown else ()
    _write_pages(pages, shown)
    if not targets.pieces[0].on_stdout:
        output.result("generate", {**facts, "pieces": written, "pages": pages}, _describe(written, pages))


def write_piece(output: Output, piece: "Piece", targets: Targets, *, choices: "Choices | None" = None) -> Written:
    """Write one piece to all of its files.

    Args:
        output: whose stdout gets its MIDI, if the target says so.
        piece: what was made.
        targets: where all of them go.
        choices: what was chosen for it.
    """
    from aurl.midi.clock import seconds_at
    from aurl.midi.write import write_midi

    target = targets.pieces[piece.number]
    if target.on_stdout:
        output.raw(write_midi(piece.score))
    for path in target.files:
        _save(piece.score, path, title=f"seed {piece.seed}", soundfont=targets.soundfont)
    if target.choices is not None and choices is not None:
        from aurl.export.choices import save_choices

        save_choices(target.choices, choices, piece)
    return Written(
        path=next(iter(target.files), None),
        picture=next((path for path in target.files if path.suffix.lower() == PICTURE_SUFFIX), None),
        files=target.files,
        choices=target.choices,
        seed=piece.seed,
        seconds=float(seconds_at(piece.score, [piece.score.end_tick])[0]),
        notes=piece.score.note_count,
        tokens=piece.sampled,
        nats_per_token=piece.nats_per_token,
        ended=piece.ended,
        latents=piece.latents,
        broken=piece.broken,
    )


def _save(score: "Score", path: Path, *, title: str, soundfont: Path | None) -> None:
    """Write a score as what the name's suffix says."""
    suffix = path.suffix.lower()
    if suffix == PICTURE_SUFFIX:
        from aurl.export.picture import save_picture

        save_picture(score, path, title=title)
    elif suffix == AUDIO_SUFFIX:
        from aurl.export.audio import save_audio

        save_audio(score, path, soundfont=soundfont)
    elif suffix in NOTATION_SUFFIXES:
        from aurl.export.musicxml import save_musicxml

        save_musicxml(score, path, title=title)
    else:
        from aurl.midi.write import save_midi

        save_midi(score, path)


def _shown(piece: "Piece", written: Written, facts: Mapping[str, object]) -> "Shown":
    """A piece as its page tells it."""
    from aurl.export.page import Shown

    told = {
        "seed": piece.seed,
        "tokens": piece.sampled,
        "nats per token": written.nats_per_token,
        "ended by": piece.ended,
    }
    chosen = {name.replace("_", " "): value for name, value in facts.items() if value not in (None, (), [], {}, "")}
    name = written.path.stem if written.path else f"aurl-{piece.seed}"
    return Shown(name, piece.score, told | {name: str(value) for name, value in chosen.items()})


def _write_pages(pages: Iterable[Path], shown: "list[Shown]") -> None:
    for page in pages:
        from aurl.export.page import save_page

        save_page(shown, page)


def _describe(written: list[Written], pages: Iterable[Path]) -> str:
    """One line for each piece, and for each page."""
    rows = [
        (
            str(piece.path or ""),
            duration(piece.seconds),
            f"{piece.notes:,} notes",
            f"seed {piece.seed}",
            " ".join(map(str, piece.files[1:])),
        )
        for piece in written
    ]
    lines = [table(rows) if rows else "no piece was begun", *(f"all of them: {page}" for page in pages)]
    return "\n".join(lines)

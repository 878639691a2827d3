"""`aurl inspect-latent traverse | interpolate | attributes`: what latents do, heard and seen."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aurl.cli.inspect_latent_files import (
    LevelName,
    RunName,
    Seed,
    Subject,
    Windows,
    Written,
    check_free,
    check_level,
    give,
    opened,
)
from aurl.cli.options import complete_runs
from aurl.cli.output import Output, table
from aurl.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from aurl.generation.load import Loaded
    from aurl.latent.codes import Codes
    from aurl.midi.score import Score
    from aurl.model.latents import Latents

Level = Annotated[LevelName, typer.Option("--level", help="Of the dimensions and components.")]
Dimensions = Annotated[
    list[int] | None,
    typer.Option("--dimension", metavar="N", help="Of the level; repeat it. The most active four by default."),
]
Components = Annotated[
    list[int] | None,
    typer.Option("--component", metavar="N", help="Principal component of the level, from 0; repeat it."),
]
Attributes = Annotated[
    list[str] | None, typer.Option("--attribute", metavar="NAME", help="Direction of an attribute; repeat it.")
]
Reach = Annotated[float, typer.Option("--reach", metavar="D", help="How far to both sides, in deviations.")]
Steps = Annotated[int, typer.Option("--steps", min=2, metavar="N", help="Pieces, the ends among them.")]
Beats = Annotated[float, typer.Option("--beats", min=1.0, metavar="B", help="How long pieces are.")]
Song = Annotated[
    Path | None,
    typer.Option("--song", metavar="FILE", help="Begin from the latents of a song; by default from the prior's."),
]
Temperature = Annotated[
    float | None, typer.Option("--temperature", "-t", min=0.0, metavar="T", help="0 takes the likeliest each time.")
]
OneSong = Annotated[Path, typer.Argument(metavar="FROM", help="Song at the beginning of the way.")]
OtherSong = Annotated[Path, typer.Argument(metavar="TO", help="Song at its end.")]
OfRun = Annotated[
    str | None,
    typer.Option(
        "--run",
        "-r",
        metavar="NAME|FOLDER",
        help="Name or folder of the run; the latest by default.",
        autocompletion=complete_runs,
    ),
]
Keep = Annotated[
    list[str] | None,
    typer.Option("--keep", metavar="LEVEL", help="Level that stays that of the first song; repeat it."),
]
FirstBeats = Annotated[
    float | None,
    typer.Option("--beats", min=1.0, metavar="B", help="Only the first B beats of each song; all of them by default."),
]
MOST_ACTIVE = 4
EMPTY = "–"


def traverse(
    output: Output,
    run: RunName = None,
    *,
    subject: Subject,
    level: Level = "global",
    dimension: Dimensions = None,
    component: Components = None,
    attribute: Attributes = None,
    reach: Reach = 3.0,
    steps: Steps = 7,
    beats: Beats = 16.0,
    song: Song = None,
    windows: Windows = 512,
    seed: Seed = 0,
    temperature: Temperature = 0.0,
    written: Written,
) -> None:
    """Hear what dimensions, components and attribute vectors do: pieces along each, and nothing else changed."""
    check_free("traverse", written)
    _check_finite({"--reach": reach, "--beats": beats, "--temperature": temperature})
    _check_song(song)
    with opened(output, run, subject) as loaded, output.progress() as report:
        check_level(loaded, level)
        from aurl.generation.interpolation import places
        from aurl.latent.codes_kept import load_codes
        from aurl.latent.report import Finding
        from aurl.latent.report_moves import deviations, move, moves_table, remarks_on_traversal
        from aurl.latent.traverse import traverse as along
        from aurl.progress import Progress

        codes = load_codes(loaded, subject.dataset(), split=subject.split, limit=windows, report=report)
        chosen = list(_directions(loaded, codes, subject, level, dimension, component, attribute))
        values = [reach * (2 * place - 1) for place in places(steps)]
        moves, rows = [], []
        for number, (name, direction) in enumerate(chosen):
            made = along(loaded, direction, values=values, song=song, seed=seed, beats=beats, temperature=temperature)
            moves.append(move(name, values, made.scores, codec=loaded.codec, units=deviations(codes)))
            rows.append(made.scores)
            report(Progress("traverse", number + 1, len(chosen), "directions"))
    names = [name for name, _ in chosen]
    shown = moves_table(moves, step="deviations")
    facts = {"run": codes.run, "checkpoint": codes.checkpoint, "table": shown}
    pictures = _grid(rows, names, [f"{value:+.2g}" for value in values], title=f"{codes.run}: deviations")
    midi = _midi("traverse", dict(zip(names, rows, strict=True)), [f"{value:+.2f}" for value in values])
    finding = Finding("traverse", facts, remarks_on_traversal(moves), pictures)
    give(output, finding, _table_text(shown), written, midi=midi)


def interpolate(
    output: Output,
    one: OneSong,
    other: OtherSong,
    *,
    run: OfRun = None,
    subject: Subject,
    steps: Steps = 7,
    keep: Keep = None,
    beats: FirstBeats = None,
    windows: Windows = 512,
    seed: Seed = 0,
    temperature: Temperature = 0.0,
    written: Written,
) -> None:
    """Go from one song to another through the latents, and measure how evenly music changes on the way."""
    check_free("interpolate", written)
    _check_finite({"--beats": beats, "--temperature": temperature})
    _check_song(one)
    _check_song(other)
    with opened(output, run, subject) as loaded, output.progress() as report:
        from aurl.latent.codes_kept import load_codes
        from aurl.latent.interpolation import interpolate as between
        from aurl.latent.report import Finding
        from aurl.latent.report_moves import deviations, move, moves_table, remarks_on_interpolation

        songs = [_beginning(path, beats) for path in (one, other)]
        codes = load_codes(loaded, subject.dataset(), split=subject.split, limit=windows, report=report)
        output.note(f"making {steps} pieces")
        made = between(loaded, *songs, steps=steps, keep=keep or (), seed=seed, temperature=temperature)
        way = move("between", made.places, made.scores, codec=loaded.codec, units=deviations(codes))
        songs_heard = move("songs", (0.0, 1.0), made.songs, codec=loaded.codec, units=deviations(codes))
    shown = moves_table([songs_heard, way], step="place")
    facts = {"run": codes.run, "checkpoint": codes.checkpoint, "table": shown, "smoothness": way.smooth}
    labels = [one.stem, *(f"{place:.2f}" for place in made.places), other.stem]
    pictures = _grid([[made.songs[0], *made.scores, made.songs[1]]], (), labels, title=codes.run, name="interpolate")
    midi = _midi("interpolate", {"": made.scores}, [f"{place:.2f}" for place in made.places])
    finding = Finding("interpolate", facts, remarks_on_interpolation(way), pictures)
    give(output, finding, _table_text(shown), written, midi=midi)


def attributes(output: Output, run: RunName = None, *, subject: Subject, written: Written) -> None:
    """Learn directions of musical attributes from the train split, once, and tell how well latents know them."""
    check_free("attributes", written)
    with opened(output, run, subject) as loaded, output.progress() as report:
        from aurl.cli.output import plain
        from aurl.latent.directions import ensure_directions
        from aurl.latent.report import Finding
        from aurl.latent.report_moves import attributes_table, remarks_on_attributes

        found = ensure_directions(loaded, subject.dataset(), report=report)
    shown, about = attributes_table(found), {"run": loaded.run.name, "checkpoint": loaded.checkpoint.name}
    facts = {**about, "table": shown, "attributes": plain(found.facts)}
    give(output, Finding("attributes", facts, remarks_on_attributes(found)), _table_text(shown), written)


COMMANDS = (traverse, interpolate, attributes)


def _check_finite(numbers: Mapping[str, float | None]) -> None:
    for option, number in numbers.items():
        if number is not None and not math.isfinite(number):
            raise UsageError(f"{option} {number} is no number to go by", hint="give a finite one, such as 2")


def _check_song(song: Path | None) -> None:
    if song is not None and not song.is_file():
        raise NotFoundError(f"there is no file {song}", hint="name a MIDI file, or written music")


def _directions(
    loaded: "Loaded",
    codes: "Codes",
    subject: Subject,
    level: str,
    dimensions: list[int] | None,
    components: list[int] | None,
    attributes: list[str] | None,
) -> "Iterator[tuple[str, Latents]]":
    """Name and one deviation of everything that is asked for."""
    from aurl.latent.traverse import dimension, principal

    if not dimensions and not components and not attributes:
        variance = codes.levels[level].mean.var(0)
        dimensions = [int(number) for number in variance.argsort()[::-1][:MOST_ACTIVE]]
    for number in dimensions or ():
        yield f"{level} {number}", dimension(codes, level, number)
    for number in components or ():
        yield f"{level} PC {number}", principal(codes, level, number)
    if attributes:
        from aurl.latent.directions import ensure_directions

        known = ensure_directions(loaded, subject.dataset())
        for name in attributes:
            yield name, known.shift({name: 1.0})


def _beginning(path: Path, beats: float | None) -> "Score":
    from aurl.generation.prompt import song_score
    from aurl.preprocess.excerpt import excerpt

    score = song_score(path)
    return score if beats is None else excerpt(score, 0, round(beats * score.ticks_per_beat))[0]


def _grid(
    rows: "Sequence[Sequence[Score]]",
    names: Sequence[str],
    labels: Sequence[str],
    *,
    title: str,
    name: str = "traverse",
) -> dict[str, bytes]:
    from aurl.export.picture_grid import picture_grid

    return {f"{name}.png": picture_grid(rows, names, labels, title)}


def _midi(command: str, rows: "dict[str, Sequence[Score]]", labels: Sequence[str]) -> dict[str, bytes]:
    """File name → MIDI."""
    from aurl.midi.write import write_midi

    return {
        "-".join([command, *name.split(), f"{number}", label]) + ".mid": write_midi(score)
        for name, scores in rows.items()
        for number, (label, score) in enumerate(zip(labels, scores, strict=True))
    }


def _table_text(shown: dict[str, list[Any]]) -> str:
    rows = [[EMPTY if cell is None else _cell(cell) for cell in row] for row in shown["rows"]]
    return table([shown["head"], *rows])


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

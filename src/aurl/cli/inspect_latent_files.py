"""What the subcommands of `aurl inspect-latent` share: which model they look into, and where findings are written."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import typer

from aurl.cli.options import complete_runs
from aurl.cli.output import Output, plain
from aurl.errors import UsageError

if TYPE_CHECKING:
    from aurl.generation.load import Loaded
    from aurl.latent.report import Finding

RunName = Annotated[
    str | None,
    typer.Argument(metavar="RUN", help="Name or folder; the latest by default.", autocompletion=complete_runs),
]
Windows = Annotated[
    int, typer.Option("--windows", min=2, metavar="N", help="Windows of the split to look at, at most.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Of everything that is drawn.")]
LevelName = Literal["global", "local", "fine"]


@dataclass(frozen=True)
class Subject:
    """What is looked at."""

    PANEL: ClassVar = "What is looked at"

    checkpoint: Annotated[
        str, typer.Option("--checkpoint", metavar="best|latest|NAME", help="Which state of the model.")
    ] = "best"
    split: Annotated[Literal["train", "valid", "test"], typer.Option("--split", help="Of the data set.")] = "valid"
    data: Annotated[
        str | None, typer.Option("--data", "-d", metavar="NAME|FOLDER", help="Where the data set is now, if it moved.")
    ] = None
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, metavar="N", help="CPU threads; torch decides by default.")
    ] = None
    device: Annotated[
        str | None, typer.Option("--device", metavar="cpu|cuda|mps", help="Where to compute; the fastest by default.")
    ] = None

    def dataset(self) -> Path | None:
        """The data set that is named."""
        from aurl.home import Home

        return Home.locate().dataset(self.data) if self.data else None


@dataclass(frozen=True)
class Written:
    """What is written."""

    PANEL: ClassVar = "What is written"

    to: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Keep numbers (JSON) and pictures here.")
    ] = None
    page: Annotated[
        Path | None,
        typer.Option("--page", metavar="FILE.html", help="One page of this, and of all else that is in --output."),
    ] = None
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite what exists.")] = False


@contextmanager
def opened(output: Output, run: str | None, subject: Subject) -> Iterator["Loaded"]:
    """The model of a run, with as many threads as are wanted.

    Raises:
        UsageError: the model has no latents.
    """
    from aurl.home import Home

    folder = Home.locate().run(run)
    if run is None:
        output.note(f"run: {folder.name}, the latest")
    from aurl.cli.device import check_device
    from aurl.generation.generate import using_threads
    from aurl.generation.load import load_run
    from aurl.latent.codes import require_latents

    with using_threads(subject.threads):
        loaded = load_run(folder, checkpoint=subject.checkpoint, device=check_device(subject.device))
        require_latents(loaded)
        yield loaded


def check_level(loaded: "Loaded", level: str) -> None:
    """Make sure that the model has a level.

    Raises:
        UsageError: it has not.
    """
    known = [one.name for one in loaded.model.levels]
    if level not in known:
        raise UsageError(
            f"{loaded.run.name} has no {level} level (latent.{level}_size = 0)", hint=f"it has: {', '.join(known)}"
        )


def check_free(name: str, written: Written) -> None:
    """Make sure that nothing is overwritten that is not to be.

    Raises:
        UsageError: something is there.
    """
    if written.page is not None and written.page.suffix.lower() not in {".html", ".htm"}:
        raise UsageError(f"{written.page} is no name of a page", hint="let it end in .html")
    if written.to is not None and written.to.exists() and not written.to.is_dir():
        raise UsageError(f"{written.to} is no folder", hint="name a folder: -o FOLDER")
    if written.force:
        return
    paths = [] if written.to is None else [written.to / f"{name}.json", written.to / f"{name}.png"]
    for path in (*paths, *([written.page] if written.page else [])):
        if path.exists():
            raise UsageError(f"{path} exists already", hint="choose another name, or add --force")


def give(
    output: Output, finding: "Finding", text: str, written: Written, *, midi: Mapping[str, bytes] | None = None
) -> None:
    """Write what was found where it is wanted, and print it.

    Args:
        output: where it is printed.
        finding: what was found.
        text: a table of it.
        written: where to.
        midi: file name → MIDI, beside the pictures.
    """
    files = _write(finding, midi or {}, written.to) if written.to is not None else []
    if written.page is not None:
        from aurl.cli.runs import write_page

        write_page(written.page, _page(finding, written.to))
        files.append(written.page)
    value = {**finding.facts, "remarks": finding.remarks, "files": files}
    shown = [text, *finding.remarks, *(f"written: {path}" for path in _few(files))]
    output.result(f"inspect-latent.{finding.name}", value, "\n".join(line for line in shown if line))


def _few(files: Sequence[Path]) -> list[str]:
    """MIDI files are many: their folder is enough."""
    made = [path for path in files if path.suffix == ".mid"]
    others = [str(path) for path in files if path not in made]
    return others + ([f"{len(made)} MIDI files in {made[0].parent}"] if made else [])


def _write(finding: "Finding", midi: Mapping[str, bytes], folder: Path) -> list[Path]:
    from aurl.storage import write_bytes, write_json

    contents = {**(finding.pictures or {}), **midi}
    for name, content in contents.items():
        write_bytes(folder / name, content)
    numbers = folder / f"{finding.name}.json"
    write_json(numbers, {"facts": plain(finding.facts), "remarks": list(finding.remarks)})
    return [numbers, *(folder / name for name in contents)]


def _page(finding: "Finding", folder: Path | None) -> str:
    """This finding and the others that are in the folder."""
    from aurl.latent.page import TITLES, latents_page
    from aurl.latent.report import Finding

    own = Finding(finding.name, plain(finding.facts), finding.remarks, finding.pictures)
    others = [] if folder is None else [_read(folder, name) for name in TITLES if name != finding.name]
    facts = own.facts
    title = f"Latents of {facts['run']}"
    return latents_page([own, *(one for one in others if one)], title=title, subtitle=str(facts["checkpoint"]))


def _read(folder: Path, name: str) -> "Finding | None":
    from aurl.errors import DamagedError
    from aurl.latent.report import Finding
    from aurl.storage import read_json

    path, picture = folder / f"{name}.json", folder / f"{name}.png"
    if not path.is_file():
        return None
    kept: Any = read_json(path)
    if not isinstance(kept, dict) or not isinstance(kept.get("facts"), dict):
        raise DamagedError(f"{path} is no finding", hint=f"make it again: aurl inspect-latent {name} --force")
    pictures = {picture.name: picture.read_bytes()} if picture.is_file() else {}
    return Finding(name, kept["facts"], tuple(map(str, kept.get("remarks", ()))), pictures)

"""`aurl prepare`: MIDI files → a data set."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aurl.cli.options import Overrides, Profiles
from aurl.cli.output import Output
from aurl.cli.prepared import describe, some
from aurl.cli.signals import exit_code, listening
from aurl.errors import AurlError, ExitCode, UsageError
from aurl.midi.reasons import RejectReason

if TYPE_CHECKING:
    from aurl.data.result import PrepareResult
    from aurl.home import Home
    from aurl.profile import Profile
    from aurl.profile.sections import Prepare

CHECKED = ("preprocess", "split")
METADATA = "prepare.metadata"
DEFAULT_NAME = "midi"
FILTERED = RejectReason.FILTERED.value
SPLIT_LABEL = "{split}"
"""The only label that no audit counts."""

Paths = Annotated[list[str], typer.Argument(metavar="PATH", help="Files, folders, globs, archives, URLs; any number.")]
Name = Annotated[
    str | None,
    typer.Option("--name", "-n", metavar="NAME", help="Name of the data set; that of the first path by default."),
]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, metavar="N", help="Worker processes; one for each core by default."),
]
Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", metavar="URL", help="Work on a dask cluster, as in tcp://host:8786."),
]
Metadata = Annotated[
    str | None,
    typer.Option(
        "--metadata", "-m", metavar="FILE", help="CSV or JSON: the path of each file; composer, genre, title, split."
    ),
]
Dedupe = Annotated[
    str | None,
    typer.Option(
        "--dedupe",
        metavar="group|keep-one|off",
        help="The same music in another key or tempo: keep all in one split (by default), keep one, or take no notice.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")]
Strict = Annotated[bool, typer.Option("--strict", help="Rejected files make the command fail: exit 1 and not 3.")]
Force = Annotated[
    bool, typer.Option("--force", "-f", help="Replace a data set of this name that was made from something else.")
]


def prepare(
    output: Output,
    paths: Paths,
    name: Name = None,
    profile: Profiles = None,
    overrides: Overrides = None,
    jobs: Jobs = None,
    scheduler: Scheduler = None,
    metadata: Metadata = None,
    dedupe: Dedupe = None,
    dry_run: DryRun = False,
    strict: Strict = False,
    force: Force = False,
) -> ExitCode | None:
    """Turn MIDI files and written music into a data set, or bring one up to date."""
    from aurl.data.prepare import prepare
    from aurl.home import Home, cache_folder

    home = Home.locate()
    folder = home.new_dataset(name or default_name(paths))
    sources = sorted({_settled(path) for path in paths})
    if not force:
        _check_sources(folder, sources)
    flags = {METADATA: metadata, "prepare.dedupe": dedupe}
    resolved = _load(profile or (), overrides or (), flags)
    with output.progress() as report, listening(output.note) as interrupts:
        result = prepare(
            paths,
            resolved,
            folder,
            jobs=jobs,
            scheduler=scheduler,
            cache=cache_folder(),
            dry_run=dry_run,
            report=report,
            interrupts=interrupts,
        )
    if not (dry_run or result.interrupted):
        _settle(home, result, sources)  # first: whoever reads the result may go away in the middle of it
    output.result("prepare", result, describe(result))
    if result.interrupted:
        output.note("run the same command again to go on")
    elif not dry_run:
        _tell_more(output, result, resolved.prepare)
    return _code(result, interrupts.stop, strict=strict)


def _load(profiles: Sequence[str], overrides: Sequence[str], flags: dict[str, str | None]) -> "Profile":
    """The profile; it is kept with the data set, where a relative path would lose its meaning."""
    from aurl.profile import load_profile

    found = load_profile(profiles, overrides, flags=flags, check=CHECKED)
    if found.prepare.metadata is None or Path(found.prepare.metadata).is_absolute():
        return found
    origin = Path(found.origin(METADATA))
    start = origin.parent if origin.is_file() else Path()  # a path in a file is meant from there
    path = start / Path(found.prepare.metadata).expanduser()
    return load_profile(profiles, overrides, flags=flags | {METADATA: str(path.absolute())}, check=CHECKED)


def _settled(path: str) -> str:
    """What means the same from every working folder."""
    from aurl.data.inputs import is_remote

    return path if is_remote(path) else os.path.abspath(Path(path).expanduser())  # noqa: PTH100 - links stay links


def default_name(paths: list[str]) -> str:
    """A name from the first path: of the folder, archive or URL, or of the folder of a file or glob."""
    from aurl.data.inputs import ARCHIVE_SUFFIXES, is_remote
    from aurl.home import FORBIDDEN_IN_NAMES, MAX_NAME_LENGTH

    path = Path(paths[0]).expanduser().absolute()
    archive = next((suffix for suffix in ARCHIVE_SUFFIXES if paths[0].lower().endswith(suffix)), "")
    if is_remote(paths[0]) or (archive and not path.is_dir()):
        name = paths[0].rstrip("/").rpartition("/")[2]
        name = name[: len(name) - len(archive)]
    else:
        while not path.is_dir() and (glob.has_magic(str(path)) or path.is_file()):
            path = path.parent
        name = path.resolve().name
    kept = "".join("_" if c in FORBIDDEN_IN_NAMES or not c.isprintable() else c for c in name)
    return kept.lstrip(".")[:MAX_NAME_LENGTH] or DEFAULT_NAME


def _check_sources(folder: Path, sources: list[str]) -> None:
    """Preparing brings a data set up to date with its own files; other files would silently replace them."""
    from aurl.home import DATASET_MARK, SOURCES_NAME
    from aurl.storage import read_json

    if not (folder / DATASET_MARK).is_file() or not (folder / SOURCES_NAME).is_file():
        return
    before = read_json(folder / SOURCES_NAME)
    if not set(before) <= set(sources):
        raise UsageError(
            f"the data set {folder.name} was made from {some(before)}",
            hint="give this one another --name, or add --force to replace what it holds",
        )


def _settle(home: "Home", result: "PrepareResult", sources: list[str]) -> None:
    """Remember what the data set was made from; it is the latest one, if there is anything in it."""
    from aurl.home import SOURCES_NAME
    from aurl.storage import write_json

    write_json(result.folder / SOURCES_NAME, sources)
    if result.prepared:
        home.mark_latest(result.folder)


def _tell_more(output: Output, result: "PrepareResult", section: "Prepare") -> None:
    if not result.prepared:
        raise AurlError("no file could be prepared", hint="the reasons are above; see docs/data.md")
    if unused := result.unused_labels:
        rows, verb = (f"{len(unused):,} rows", "name") if len(unused) > 1 else ("1 row", "names")
        output.note(f"{rows} of {section.metadata} {verb} no file, or not one alone: {some(unused)}")
    if section.labels and not result.audit["labels"] and SPLIT_LABEL not in "".join(section.labels):
        output.note("prepare.labels tells nothing of any file; patterns are compared with the ends of paths")
    output.note("next: aurl train")


def _code(result: "PrepareResult", stop: int | None, *, strict: bool) -> ExitCode | None:
    if stop is not None:
        return exit_code(stop)
    # What a filter of the user's own leaves out is no fault of a file.
    wanted_out = result.rejects[FILTERED].files if FILTERED in result.rejects else 0
    if result.dry_run or result.rejected == wanted_out:
        return None
    return ExitCode.FAILURE if strict else ExitCode.SOME_REJECTED

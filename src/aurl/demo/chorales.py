"""J. S. Bach's chorales as MIDI files, from the copy that the music21 package brings along (public domain)."""

import os
from collections.abc import Sequence
from concurrent.futures import CancelledError
from pathlib import Path

from pebble import ProcessPool

from aurl.errors import AurlError
from aurl.progress import Interrupts, Progress, Report, silent
from aurl.storage import write_bytes

SUFFIXES = (".mxl", ".xml")
CHUNK = 8
"""Chorales that one task exports: enough to hide the cost of handing it over."""


def chorale_files() -> list[Path]:
    """One score file for each of the chorales in Riemenschneider's numbering, in order of BWV number."""
    from music21 import corpus  # noqa: PLC0415 (a second's import that only this needs)

    works = sorted(set(corpus.chorales.Iterator(returnType="filename")))
    return [_best(Path(work).name, corpus.getWork(work)) for work in works]


def _best(name: str, found: Path | list[Path]) -> Path:
    """The file that is called exactly `name`: corpus searches also find `bwv244.37` for `bwv244.3`."""
    paths = [found] if isinstance(found, Path) else found
    scores = [path for path in paths if path.suffix in SUFFIXES]
    return next((path for path in scores if path.stem == name), scores[0])


def export_chorales(
    folder: Path,
    *,
    limit: int | None = None,
    processes: int | None = None,
    report: Report = silent,
    interrupts: Interrupts | None = None,
) -> list[Path]:
    """Write `BWV.mid` files to `folder`; those that are there already are left alone.

    Args:
        folder: made if missing.
        limit: export only this many, evenly picked; None: all.
        processes: how many to work with; None: one per processor.
        report: told after every task.
        interrupts: a stop ends it with what is done kept.

    Raises:
        AurlError: music21 cannot read its own corpus.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = chorale_files()
    if limit is not None and limit < len(files):
        files = [files[index * len(files) // limit] for index in range(limit)]
    wanted = [(path, folder / f"{path.stem}.mid") for path in files]
    missing = [pair for pair in wanted if not pair[1].exists()]
    done = len(wanted) - len(missing)
    report(Progress("export", done, len(wanted), "chorales"))
    with ProcessPool(max_workers=processes or os.cpu_count() or 1) as pool:
        tasks = [missing[start : start + CHUNK] for start in range(0, len(missing), CHUNK)]
        futures = [pool.schedule(_export, args=(task,)) for task in tasks]
        for task, future in zip(tasks, futures, strict=True):
            if interrupts is not None and interrupts.stop is not None:
                pool.stop()
                break
            try:
                future.result()
            except (OSError, CancelledError) as error:
                raise AurlError(f"cannot export the chorales to {folder}: {error}") from error
            done += len(task)
            report(Progress("export", done, len(wanted), "chorales"))
    return [target for _, target in wanted if target.exists()]


def _export(pairs: Sequence[tuple[Path, Path]]) -> None:
    """In a worker: parse and write MIDI, repeats written out, as music21's own exporter does it."""
    from music21 import converter  # noqa: PLC0415 (a second's import that only this needs)
    from music21.midi.translate import streamToMidiFile  # noqa: PLC0415

    for source, target in pairs:
        # music21 would keep a pickle of every score beside its configuration.
        score = converter.parse(source, forceSource=True, storePickle=False)
        write_bytes(target, streamToMidiFile(score).writestr())

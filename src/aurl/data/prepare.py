"""Folders of MIDI files → a data set, in parallel, once.

Order of writing: shards as they are done, then the index, then the audit, the manifest last. Whoever is killed in
between leaves the data set as it was, and finished shards that the next run finds by their names.
"""

import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from aurl.data import audit
from aurl.data.assign import Rules
from aurl.data.assignments import history
from aurl.data.cache import TokenCache
from aurl.data.encode import Pipeline, Recipe
from aurl.data.index import Index
from aurl.data.inputs import Found, Source, default_spool, find, listing_digest
from aurl.data.labels import Labels
from aurl.data.manifest import Manifest, is_whole, read_manifest
from aurl.data.result import PrepareResult, from_audit
from aurl.data.splits import SPLITS
from aurl.data.update import Update, Updated
from aurl.errors import AurlError, DamagedError, NotFoundError
from aurl.profile import Profile
from aurl.progress import Interrupts, Report, silent
from aurl.storage import lock
from aurl.tokens.codec import Codec

LOCK = ".lock"
OF_NO_CONSEQUENCE = {"cache_gb"}
"""Keys that a data set does not depend on."""
MEBIBYTE, GIBIBYTE = 2**20, 2**30
TOKENS = "tokens"
"""Folder of the token cache in the cache folder."""

logger = logging.getLogger(__name__)


def prepare(
    paths: Iterable[str | Path],
    profile: Profile,
    folder: Path,
    *,
    jobs: int | None = None,
    scheduler: str | None = None,
    cache: Path | None = None,
    dry_run: bool = False,
    report: Report = silent,
    interrupts: Interrupts | None = None,
) -> PrepareResult:
    """Bring the data set in `folder` up to date with the MIDI files that `paths` name.

    The data set holds what `paths` hold now: files that are new or changed are encoded, files that are gone leave it,
    and what a killed or interrupted run had finished is taken over.

    Args:
        paths: files, folders, globs.
        profile: its sections `prepare` and `tokens`.
        folder: of the data set, made if need be.
        jobs: worker processes; one for each usable core by default.
        scheduler: address of a dask scheduler whose workers are to do the work, as in tcp://host:8786.
        cache: folder of what can be computed again (`aurl.home.cache_folder()`); pieces that any data set has
            finished are taken from there. None: nothing is taken and nothing is kept there.
        dry_run: only tell what would be done.
        report: told of progress.
        interrupts: looked at between two shards.

    Raises:
        NotFoundError: there are no MIDI files.
        UsageError: preprocessing steps or labels cannot be used.
        LockedError: another process is writing to the data set.
        AurlError: the disk is full, or workers keep dying whatever they do.
    """
    folder = folder.absolute()  # workers may have another working folder
    started, listed_ns = time.monotonic(), time.time_ns()
    recipe, rules = recipe_of(profile), rules_of(profile)
    Pipeline(recipe)  # what its steps object to is told before anything is touched
    found = find(paths, spool=default_spool(), max_bytes=recipe.max_bytes)
    listing = _listing(found, profile)
    if known := _known(folder, profile, recipe, found, listing, dry_run=dry_run):
        return replace(known, seconds=time.monotonic() - started)
    told = interrupts or Interrupts()
    with _writing(folder), _token_cache(cache, profile.prepare.cache_gb) as tokens:
        manifest = _manifest(folder)
        before = history(folder, manifest.assignments if manifest else None)
        update = Update(folder, profile, recipe, rules, jobs or usable_cores(), scheduler, tokens, report, told)
        done = update.run(_of_recipe(manifest, recipe), before, found, listing, listed_ns)
    return _result(folder, found, rules.labels, done, time.monotonic() - started)


def _result(folder: Path, found: Found, labels: Labels, done: Updated, seconds: float) -> PrepareResult:
    if done.audit is None:
        return PrepareResult(folder, found.total, new=done.new, seconds=seconds, interrupted=True)
    return from_audit(
        folder,
        done.audit,
        new=done.new,
        reused=done.reused,
        removed=done.removed,
        unused_labels=labels.unused(source.path for source in found.sources).rows,
        seconds=seconds,
    )


def _known(
    folder: Path, profile: Profile, recipe: Recipe, found: Found, listing: str, *, dry_run: bool
) -> PrepareResult | None:
    """The result where nothing is to be done, because nothing has changed or nobody wants it."""
    old = _of_recipe(_manifest(folder), recipe)
    if old and (counted := _audit_if_unchanged(folder, old, profile, listing)):
        return from_audit(folder, counted, reused=counted["prepared"], unchanged=True, dry_run=dry_run)
    return _preview(folder, old, found) if dry_run else None


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Hold the data set's lock; a disk that cannot be written to is an error of ours."""
    try:
        with lock(folder / LOCK):
            yield
    except (OSError, sqlite3.OperationalError) as error:
        message = f"cannot write to {folder}: {error}"
        hint = "make room, or set AURL_HOME to another folder; the same command goes on where it stopped"
        raise AurlError(message, hint=hint) from error


def _token_cache(cache: Path | None, gibibytes: float) -> AbstractContextManager[TokenCache | None]:
    """The token cache, or None where none is wanted or it cannot be used."""
    if cache is None or not gibibytes:
        return nullcontext()
    try:
        return TokenCache(cache / TOKENS, max_bytes=int(gibibytes * GIBIBYTE))
    except AurlError as error:
        logger.warning("the token cache is of no help: %s", error.message)
        return nullcontext()


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def recipe_of(profile: Profile) -> Recipe:
    """What decides which ids a file gets."""
    tokens, section = profile.tokens, profile.prepare
    codec = Codec(time_base=tokens.time_base, parts=tokens.parts, header=tokens.header)
    return Recipe(
        codec=json.dumps(codec.signature(), sort_keys=True),
        preprocess=json.dumps(section.preprocess, sort_keys=True),
        min_notes=section.min_notes,
        max_bytes=int(section.max_file_mb * MEBIBYTE),
    )


def rules_of(profile: Profile) -> Rules:
    """What decides which split a piece gets.

    Raises:
        UsageError: the file of labels cannot be used.
    """
    section = profile.prepare
    return Rules(
        split=SPLITS.from_component(section.split),
        by_hand=section.split["kind"] != "hash",
        labels=Labels.load(Path(section.metadata).expanduser() if section.metadata else None, section.labels),
        dedupe=section.dedupe,
        similarity=section.dedupe_similarity,
    )


def _manifest(folder: Path) -> Manifest | None:
    """What the data set is now, if there is one."""
    try:
        return read_manifest(folder)
    except NotFoundError:
        return None
    except DamagedError as error:
        logger.warning("%s; what its shards hold is used", error.message)
        return None


def _of_recipe(manifest: Manifest | None, recipe: Recipe) -> Manifest | None:
    """The manifest, if what it names was made by the same recipe."""
    return manifest if manifest and manifest.signature == recipe.signature else None


def _listing(found: Found, profile: Profile) -> str:
    """A hash that is equal while no file has changed, nor the one that tells their labels."""
    sources = list(found.sources)
    metadata = profile.prepare.metadata
    if metadata and (path := Path(metadata).expanduser()).exists():
        sources.append(Source(metadata, path.stat().st_size, path.stat().st_mtime_ns))
    return listing_digest(sources, found.refused)


def _audit_if_unchanged(folder: Path, old: Manifest, profile: Profile, listing: str) -> dict[str, Any] | None:
    """The data set's audit, if files, profile and shards are as they were."""
    asked = profile.prepare.model_dump(mode="json", exclude=OF_NO_CONSEQUENCE)
    same = asked.items() <= old.prepare.items() and old.listing == listing
    if not same or not all(is_whole(folder, entry) for entry in old.shards):
        return None
    try:
        return audit.read(folder)
    except AurlError:
        return None


def _preview(folder: Path, old: Manifest | None, found: Found) -> PrepareResult:
    """What a run would do, by the listing alone."""
    known: dict[str, tuple[int, int, bytes]] = {}
    if old:
        with Index.load(folder, old) as index:
            known = index.files()
    sources = found.sources
    same = sum(source.path in known and known[source.path][:2] == source[1:] for source in sources)
    gone = len(known.keys() - {source.path for source in sources})
    return PrepareResult(
        folder,
        len(sources) + len(found.refused),
        new=len(sources) - same,
        reused=same,
        removed=gone,
        dry_run=True,
    )

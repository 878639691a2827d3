"""`aurl cache`: what the token cache holds, and whether it and the data sets are as they were written."""

import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aurl.cli.output import Output, table
from aurl.cli.signals import exit_code, listening
from aurl.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from aurl.data.cache import CacheCheck, CacheStats, Damage, Merged, TokenCache, Trimmed
    from aurl.data.verify import DatasetCheck
    from aurl.progress import Interrupts, Report

GIBIBYTE = 2**30
MEBIBYTE = 2**20
SIGNATURE_DIGITS = 12
"""As many of a recipe's as tell it from others."""

Force = Annotated[bool, typer.Option("--force", "-f", help="Do not ask.")]


def stats(output: Output) -> None:
    """Tell what the token cache holds."""
    with _open() as cache:
        found = cache.stats()
    output.result("cache.stats", found, _stats_text(found))


def verify(
    output: Output,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended, and tell what is lost.")] = False,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, metavar="N", help="Worker processes; one for each core by default."),
    ] = None,
) -> ExitCode | None:
    """Find damaged files in the token cache and all data sets."""
    with output.progress() as report, listening(output.note) as interrupts, _open() as cache:
        cached = cache.verify(repair=repair, report=report, interrupts=interrupts)
        datasets = _datasets(cache if repair else None, jobs, report, interrupts)
    value = {"repair": repair, "cache": cached, "datasets": datasets}
    output.result("cache.verify", value, _verify_text(cached, datasets))
    if interrupts.stop is not None:
        return exit_code(interrupts.stop)
    damage = [*cached.damage, *(one for check in datasets for one in check.damage)]
    if any(not one.mended for one in damage):
        if not repair:
            output.note("mend what can be mended with: aurl cache verify --repair")
        return ExitCode.DAMAGED
    return ExitCode.LOCKED if any(check.locked for check in datasets) else None


def prune(
    output: Output,
    max_gb: Annotated[
        float | None,
        typer.Option("--max-gb", min=0, metavar="GIB", help="Size to trim to; prepare.cache_gb by default."),
    ] = None,
) -> None:
    """Trim the token cache, the longest unused first."""
    with _open() as cache:
        done = cache.prune(cache.max_bytes if max_gb is None else int(min(max_gb * GIBIBYTE, sys.maxsize)))
    output.result("cache.prune", done, _trimmed_text(done))


def clear(output: Output, force: Force = False) -> None:
    """Empty the token cache; no data set needs it."""
    if not force and not sys.stdin.isatty():
        raise UsageError("the token cache is cleared only if that is meant", hint="add --force")
    with _open() as cache:
        if not force and not typer.confirm(f"Remove everything from {cache.folder}?", err=True):
            output.note("nothing was removed")
            return
        done = cache.clear()
    output.result("cache.clear", done, _trimmed_text(done))


def path(output: Output) -> None:
    """Print where the token cache is."""
    folder = _folder()
    output.result("cache.path", {"path": folder}, str(folder))


def merge(
    output: Output,
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER", help="Caches of other machines, or data sets' folders.")
    ],
) -> ExitCode | None:
    """Take in the shards of other nodes' caches."""
    with output.progress() as report, _open() as cache:
        merged = [cache.merge(folder.expanduser(), report=report) for folder in folders]
    output.result("cache.merge", {"merged": merged}, _merged_text(merged))
    return ExitCode.SOME_REJECTED if any(one.damage for one in merged) else None


COMMANDS = (stats, verify, prune, clear, path, merge)


def _folder() -> Path:
    from aurl.data.prepare import TOKENS
    from aurl.home import cache_folder

    return cache_folder() / TOKENS


def _open() -> "TokenCache":
    from aurl.data.cache import TokenCache
    from aurl.profile import load_profile

    return TokenCache(_folder(), max_bytes=int(load_profile(check=()).prepare.cache_gb * GIBIBYTE))


def _datasets(
    cache: "TokenCache | None", jobs: int | None, report: "Report", interrupts: "Interrupts"
) -> "list[DatasetCheck]":
    """Check all data sets, and mend them where there is a cache to mend them from."""
    from aurl.data.prepare import usable_cores
    from aurl.data.repair import Repair
    from aurl.data.verify import verify_dataset
    from aurl.home import Home

    checked = []
    for folder in Home.locate().list_datasets():
        if interrupts.stop is not None:
            break
        if cache:
            checked.append(Repair(folder, cache, jobs or usable_cores(), report, interrupts).run())
        else:
            checked.append(verify_dataset(folder, report=report, interrupts=interrupts))
    return checked


def _size(value: int) -> str:
    return f"{value / MEBIBYTE:,.1f} MiB"


def _when(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M}"
    except (OSError, OverflowError, ValueError):
        return "unknown"  # by a clock, or an index, that was wrong


def _stats_text(found: "CacheStats") -> str:
    where = [
        ("held", "shards", "size"),
        ("only here", found.own_shards, f"{_size(found.own_bytes)} of {_size(found.max_bytes)}"),
        ("shared with data sets", found.shared_shards, _size(found.shared_bytes)),
    ]
    recipes = [
        (
            recipe.signature[:SIGNATURE_DIGITS],
            f"{recipe.shards:,}",
            _size(recipe.bytes),
            f"{recipe.contents:,}",
            _when(recipe.used_at),
        )
        for recipe in found.recipes
    ]
    blocks = [f"token cache in {found.folder}", table(where, indent="  ")]
    if recipes:
        blocks.append(table([("recipe", "shards", "size", "files", "last used"), *recipes], indent="  "))
    return "\n".join(blocks)


def _verify_text(cached: "CacheCheck", datasets: "Iterable[DatasetCheck]") -> str:
    rows = [("token cache", f"{cached.shards:,}", _outcome(cached.damage))]
    damage, lost = list(cached.damage), list[str]()
    for check in datasets:
        rows.append((f"data set {check.folder.name}", f"{check.shards:,}", check.locked or _outcome(check.damage)))
        damage += check.damage
        lost += check.lost
    blocks = [table([("checked", "shards", "outcome"), *rows])]
    if damage:
        told = [(str(one.path), one.mended or "damaged", one.fault) for one in damage]
        blocks.append(table([("file", "outcome", "fault"), *told], indent="  "))
    if lost:
        blocks.append(table([("lost, because the file is gone, too",), *((source,) for source in lost)], indent="  "))
    return "\n".join(blocks)


def _outcome(damage: "tuple[Damage, ...]") -> str:
    left = sum(not one.mended for one in damage)
    if not damage:
        return "whole"
    return f"{len(damage)} damaged, {len(damage) - left} mended"


def _trimmed_text(done: "Trimmed") -> str:
    return f"removed {done.shards:,} shards, which freed {_size(done.bytes)}"


def _merged_text(merged: "Iterable[Merged]") -> str:
    blocks = []
    for one in merged:
        counts = f"{one.added:,} shards taken in, {one.known:,} known, {len(one.damage):,} damaged"
        blocks.append(f"{one.folder}: {counts}")
        blocks += [f"  {damage.path}: {damage.fault}" for damage in one.damage]
    return "\n".join(blocks)

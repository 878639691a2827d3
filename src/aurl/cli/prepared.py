"""A prepared data set, as text for the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aurl.cli.output import table
from aurl.midi.reasons import printable

if TYPE_CHECKING:
    from aurl.data.result import PrepareResult

MAX_SHOWN = 3


def describe(result: "PrepareResult") -> str:
    """What `prepare` prints: what was done, and tables of the data set."""
    if result.interrupted:
        done = f"{result.new:,} files were encoded, which the next run takes over"
        return f"interrupted: {result.folder.name} is as it was; {done}"
    if result.dry_run:
        return f"dry run: {result.folder.name}: {result.files:,} files, {result.new:,} to read, {result.removed:,} gone"
    tables = (_splits(result), _repairs(result), _rejects(result), _truncation(result))
    return "\n".join(block for block in (_summary(result), *tables) if block)


def _summary(result: "PrepareResult") -> str:
    unchanged = ", nothing has changed" if result.unchanged else ""
    left_out = f", {result.left_out:,} near-duplicates left out" if result.left_out else ""
    counts = f"{result.prepared:,} of {result.files:,} files prepared, {result.rejected:,} rejected"
    near = result.audit["near_duplicates"]
    lines = [
        f"data set {result.folder.name} in {result.folder}",
        f"{counts}, {result.duplicates:,} duplicates{left_out}, in {result.seconds:.1f} s{unchanged}",
        f"{near['files']:,} files are near-duplicates, in {near['groups']:,} groups" if near["groups"] else "",
        f"pictures of what it holds: {result.folder / 'audit.html'}",
    ]
    return "\n".join(line for line in lines if line)


def _splits(result: "PrepareResult") -> str:
    rows = [(name, f"{s.pieces:,}", f"{s.notes:,}", f"{s.tokens:,}") for name, s in result.splits.items()]
    return _table(("split", "pieces", "notes", "tokens"), rows)


def _repairs(result: "PrepareResult") -> str:
    rows = [(name, f"{repair.pieces:,}", f"{repair.count:,}") for name, repair in result.repairs.items()]
    return _table(("repaired or changed", "pieces", "times"), rows)


def _rejects(result: "PrepareResult") -> str:
    rows = [(reason, f"{reject.files:,}", some(reject.examples[:2])) for reason, reject in result.rejects.items()]
    return _table(("rejected", "files", "for example"), rows)


def _truncation(result: "PrepareResult") -> str:
    """What the first window of each piece would leave out, for the lengths where it is neither all nor nothing."""
    rows = [
        (seq_len, f"{facts['pieces']:,}", f"{facts['tokens_lost']:.1%}")
        for seq_len, facts in result.audit["truncation"].items()
        if facts["pieces"]
    ]
    return _table(("seq_len", "longer pieces", "tokens behind the first window"), rows)


def some(paths: Sequence[str]) -> str:
    """The first few."""
    left = f" and {len(paths) - MAX_SHOWN:,} more" if len(paths) > MAX_SHOWN else ""
    return ", ".join(map(printable, paths[:MAX_SHOWN])) + left


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return table([head, *rows], indent="  ") if rows else ""

"""What is in a data set, in figures: `audit.json`, and what the CLI's table is made from."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aurl.data import histograms
from aurl.data.index import Index
from aurl.data.manifest import ShardEntry, shard_path
from aurl.data.records import Record
from aurl.data.shards import NO_IDS, Shard, note_histograms
from aurl.data.splits import SPLIT_NAMES
from aurl.errors import DamagedError
from aurl.storage import read_json, write_json
from aurl.tokens.vocabulary import NOTE_ON, VELOCITY_BINS

NAME = "audit.json"
VERSION = 2
EXAMPLES = 5
"""File names that are shown for each reason of rejection."""
SEQ_LENS = tuple(2**power for power in range(8, 15))
"""Window lengths whose truncation is told: 256 to 16,384 tokens."""
LARGEST_GROUPS = 5
"""Groups of near-duplicates that are shown."""
MOST_LABELS = 20
"""Values of a label that are counted apart."""


def audit(
    index: Index, folder: Path, shards: Sequence[ShardEntry], *, files: int, refused: Sequence[Record]
) -> dict[str, Any]:
    """Count everything.

    Args:
        index: up to date.
        folder: of the data set.
        shards: of the data set.
        files: that were found.
        refused: records of files that are in no shard: too large, or unreadable this time.
    """
    rejects = _rejects(index, refused)
    totals = _one(index, "COUNT(*), TOTAL(notes), TOTAL(tokens), TOTAL(seconds)", "served")
    sizes = _one(index, "COUNT(*), TOTAL(file_bytes)", "served WHERE segment = 0")
    near = _near_duplicates(index)
    prepared, rejected = int(sizes[0]), sum(reject["files"] for reject in rejects.values())
    pitches, velocities = _notes(index, folder, shards)
    return {
        "version": VERSION,
        "files": files,
        "prepared": prepared,
        "rejected": rejected,
        "duplicates": files - prepared - rejected - near["left_out"],
        "near_duplicates": near,
        "pieces": int(totals[0]),
        "notes": int(totals[1]),
        "tokens": int(totals[2]),
        "seconds": round(totals[3], 3),
        "file_bytes": int(sizes[1]),
        "splits": _splits(index),
        "rejects": rejects,
        "repairs": _repairs(index),
        "truncation": _truncation(index),
        "histograms": {
            "pitch": pitches.tolist(),
            "velocity": velocities.tolist(),
            **{name: histograms.by_power(_column(index, name)) for name in ("tokens", "notes", "seconds")},
            "tempo": histograms.by_tempo(_column(index, "tempo")),
            **{name: _counts(index, name) for name in ("key", "meter")},
            "instruments": _instruments(index),
            "polyphony": histograms.by_whole(_column(index, "polyphony")),
            "complexity": histograms.by_complexity(_column(index, "complexity")),
        },
        "labels": _labels(index),
    }


def _one(index: Index, columns: str, table: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] = index.connection.execute(f"SELECT {columns} FROM {table}").fetchone()  # noqa: S608 - our own names
    return row


def _column(index: Index, name: str) -> NDArray[np.float64]:
    rows = index.connection.execute(f"SELECT {name} FROM served")  # noqa: S608 - our own names
    return np.array([row[0] for row in rows], np.float64)


def _splits(index: Index) -> dict[str, dict[str, int]]:
    query = "SELECT split, COUNT(*), TOTAL(tokens), TOTAL(notes) FROM served GROUP BY split"
    splits: dict[str, dict[str, int]] = {name: {"pieces": 0, "tokens": 0, "notes": 0} for name in SPLIT_NAMES}
    for name, pieces, tokens, notes in index.connection.execute(query):
        splits[name] = {"pieces": pieces, "tokens": int(tokens), "notes": int(notes)}
    return splits


def _rejects(index: Index, refused: Iterable[Record]) -> dict[str, dict[str, Any]]:
    """Reason → files, and the paths of some; the commonest first."""
    query = "SELECT reason, path FROM pieces JOIN files USING (sha256) WHERE live AND reason != ''"
    found = [(reason, os.fsdecode(source)) for reason, source in index.connection.execute(query)]
    found += [(record.reason, record.source) for record in refused]
    paths: dict[str, list[str]] = {}
    for reason, source in found:
        paths.setdefault(reason, []).append(source)
    commonest = sorted(paths, key=lambda reason: (-len(paths[reason]), reason))
    return {reason: {"files": len(paths[reason]), "examples": sorted(paths[reason])[:EXAMPLES]} for reason in commonest}


def _repairs(index: Index) -> dict[str, dict[str, int]]:
    """Repair → pieces it was needed in, and how often; the commonest first."""
    query = (
        "SELECT name, COUNT(*), SUM(count) FROM repairs JOIN served USING (shard, row)"
        " GROUP BY name ORDER BY COUNT(*) DESC, name"
    )
    return {name: {"pieces": pieces, "count": count} for name, pieces, count in index.connection.execute(query)}


def _truncation(index: Index) -> dict[str, dict[str, float]]:
    """Window length → how many pieces are longer, and which share of all tokens lies beyond a piece's first window."""
    tokens = _column(index, "tokens")
    total = max(tokens.sum(), 1)
    return {
        str(seq_len): {
            "pieces": int(np.count_nonzero(tokens > seq_len)),
            "tokens_lost": round(float((tokens - seq_len).clip(0).sum() / total), 6),
        }
        for seq_len in SEQ_LENS
    }


def _near_duplicates(index: Index) -> dict[str, Any]:
    """How many groups and files, how many of these are left out, and paths of the largest groups."""
    where = "FROM prepared WHERE leader != '' AND segment = 0"
    totals = index.connection.execute(f"SELECT COUNT(DISTINCT leader), COUNT(*), TOTAL(NOT served) {where}")
    groups, files, left_out = totals.fetchone()
    largest = f"SELECT leader, COUNT(*) {where} GROUP BY leader ORDER BY COUNT(*) DESC, leader LIMIT ?"
    leaders = index.connection.execute(largest, (LARGEST_GROUPS,)).fetchall()
    examples = [{"files": count, "examples": _members(index, leader)} for leader, count in leaders]
    return {"groups": groups, "files": files, "left_out": int(left_out), "largest": examples}


def _members(index: Index, leader: str) -> list[str]:
    """Paths of some of a group; of files with the same bytes the first."""
    query = "SELECT source FROM assignments WHERE leader = ? ORDER BY source LIMIT ?"
    return [os.fsdecode(path) for (path,) in index.connection.execute(query, (leader, EXAMPLES))]


def _labels(index: Index) -> dict[str, dict[str, int]]:
    """Label → value → pieces, the commonest first."""
    counts: dict[str, Counter[str]] = {}
    for text, pieces in index.connection.execute("SELECT labels, COUNT(*) FROM served GROUP BY labels"):
        for name, value in json.loads(text).items():
            counts.setdefault(name, Counter())[value] += pieces
    return {name: dict(counts[name].most_common(MOST_LABELS)) for name in sorted(counts)}


def _counts(index: Index, name: str) -> dict[str, int]:
    query = f"SELECT {name}, COUNT(*) FROM served GROUP BY {name} ORDER BY COUNT(*) DESC, {name}"  # noqa: S608 - our own names
    return {value or "unknown": count for value, count in index.connection.execute(query)}


def _instruments(index: Index) -> dict[str, int]:
    """General MIDI program (128: drums) → pieces in which it sounds."""
    total: Counter[int] = Counter()
    query = "SELECT instruments, COUNT(*) FROM served GROUP BY instruments"
    for programs, count in index.connection.execute(query):
        for program in json.loads(programs):
            total[program] += count
    return {str(program): total[program] for program in sorted(total)}


def _notes(index: Index, folder: Path, shards: Iterable[ShardEntry]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Notes of each pitch and of each velocity level; a shard whose pieces are all served has them counted already."""
    served = index.served_rows()
    pitches, velocities = np.zeros(NOTE_ON.size, np.int64), np.zeros(VELOCITY_BINS, np.int64)
    for entry in shards:
        shard, rows = Shard(shard_path(folder, entry.name)), served.get(entry.name, [])
        found = shard.pitches, shard.velocities
        if len(rows) < len(shard):
            found = note_histograms(np.concatenate([NO_IDS, *(shard.piece(row) for row in rows)]))
        pitches += found[0]
        velocities += found[1]
    return pitches, velocities


def write(folder: Path, counted: Mapping[str, Any]) -> None:
    """Write `audit.json` atomically."""
    write_json(folder / NAME, counted)


def read(folder: Path) -> dict[str, Any]:
    """The data set's audit.

    Raises:
        NotFoundError, DamagedError: there is none of this version.
    """
    counted = read_json(folder / NAME)
    if not isinstance(counted, dict) or counted.get("version") != VERSION:
        raise DamagedError(f"{folder / NAME} is no audit of this version", hint="run aurl prepare again")
    return counted

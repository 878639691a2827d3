"""Which passages a body of music has: runs of onsets, told by their highest notes, in any key.

A line is the highest note of each onset of a part. A passage of n onsets is n − 1 moves, each a distance in steps and
an interval, so it is the same in every key. Kept are, for each passage, a hash of all its moves but the last, and the
last move: 12 bytes a passage, sorted, so that what would complete a known one is found by one binary search.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aurl.errors import DamagedError
from aurl.storage import atomic_write
from aurl.tokens.decode import read_notes
from aurl.tokens.vocabulary import DRUM_PROGRAM

FACTOR = 0x9E3779B97F4A7C15
"""Of the polynomial hash: 2⁶⁴ divided by the golden ratio, odd."""
MASK = (1 << 64) - 1
INTERVAL_BITS, INTERVAL_MASK, MIDDLE = 8, 0xFF, 128
MAX_DISTANCE = (1 << 24) - 1
Moves = NDArray[np.uint32]


def _move(distance: int, interval: int) -> int:
    """One number for the way from one onset to the next."""
    return (min(distance, MAX_DISTANCE) << INTERVAL_BITS) + interval + MIDDLE


def _read(number: int) -> tuple[int, int]:
    return number >> INTERVAL_BITS, (number & INTERVAL_MASK) - MIDDLE


def moves_of(ids: ArrayLike) -> list[Moves]:
    """The moves of the line of each part of a piece that is not drums."""
    notes = read_notes(ids)
    found = []
    for part in np.unique(notes.part).tolist():
        if notes.programs.get(part) == DRUM_PROGRAM:
            continue
        mine = notes.part == part
        order = np.lexsort((notes.pitch[mine], notes.onset[mine]))
        onset, pitch = notes.onset[mine][order], notes.pitch[mine][order]
        top = np.append(np.diff(onset) > 0, True)
        distance = np.minimum(np.diff(onset[top]), MAX_DISTANCE)
        found.append(((distance << INTERVAL_BITS) + np.diff(pitch[top]) + MIDDLE).astype(np.uint32))
    return found


class Passages:
    """All passages of `length` onsets of some music.

    Args:
        length: onsets in each, ≥ 2.
        before: (N,) uint64, sorted, hash of all moves of a passage but the last.
        last: (N,) uint32, the last move of each.
    """

    def __init__(self, length: int, before: NDArray[np.uint64], last: Moves) -> None:
        self.length, self._before, self._last = length, before, last

    def __len__(self) -> int:
        return len(self._last)

    @classmethod
    def of(cls, lines: Iterable[Moves], length: int) -> Self:
        """The passages of some lines."""
        tables = [_passages(line, length) for line in lines]
        before = np.concatenate([np.empty(0, np.uint64), *(table[0] for table in tables)])
        last = np.concatenate([np.empty(0, np.uint32), *(table[1] for table in tables)])
        order = np.lexsort((last, before))
        before, last = before[order], last[order]
        fresh = np.append(True, (np.diff(before) != 0) | (np.diff(last) != 0))[: len(before)]
        return cls(length, before[fresh], last[fresh])

    @classmethod
    def load(cls, path: Path, length: int) -> Self:
        """Those that were saved.

        Raises:
            DamagedError: the file cannot be read.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(length, file["before"], file["last"])
        except (OSError, KeyError, ValueError, BadZipFile) as error:
            raise DamagedError(f"{path} cannot be read: {error}", hint="delete it; it will be made anew") from error

    def save(self, path: Path) -> None:
        """Write them to a file."""
        with atomic_write(path) as file:
            np.savez(file, before=self._before, last=self._last)

    def completions(self, line: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """The moves (distance, interval) that complete a known passage.

        Args:
            line: step and pitch of each onset so far; only the last `length` − 1 count.
        """
        if len(line) < self.length - 1:
            return []
        key = 0
        for (step, pitch), (next_step, next_pitch) in pairwise(line[1 - self.length :]):
            key = (key * FACTOR + _move(next_step - step, next_pitch - pitch)) & MASK
        wanted = np.uint64(key)
        first = self._before.searchsorted(wanted)
        if first == len(self) or self._before[first] != wanted:
            return []
        stop = self._before.searchsorted(wanted, side="right")
        return [_read(last) for last in self._last[first:stop].tolist()]


def _passages(line: Moves, length: int) -> tuple[NDArray[np.uint64], Moves]:
    """Hash of all moves but the last of each passage of a line, and the last."""
    moves = length - 1
    count = max(len(line) - moves + 1, 0)
    before = np.zeros(count, np.uint64)
    for place in range(moves - 1):
        before = before * np.uint64(FACTOR) + line[place : place + count]
    return before, line[moves - 1 : moves - 1 + count]

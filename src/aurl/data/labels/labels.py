"""What is known of a file besides its notes (composer, genre, title, split), from an index and from path patterns."""

import os
import posixpath
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from aurl.data.labels.patterns import compiled
from aurl.data.labels.table import Row, read_index

_CONTRADICTORY = -1
"""Stands for the place of a row where rows say different things of one path."""


class Unused(NamedTuple):
    """Rows of an index that do not tell of one file each; paths as written there.

    Args:
        missing: they name no file.
        ambiguous: they name several files, or another row says something else of the same path.
    """

    missing: tuple[str, ...]
    ambiguous: tuple[str, ...]

    @property
    def rows(self) -> tuple[str, ...]:
        """Paths of both."""
        return (*self.missing, *self.ambiguous)


class Labels:
    """Labels of paths.

    A row of the index names the file that its path leads to from the index's folder. Where there is none, it names the
    files whose paths end with it, by whole components; of several such rows the longest counts. Rows that contradict
    each other on one path count for nothing. The index beats the patterns; of those the first that tells a label does.

    Args:
        rows: of the index.
        folder: where the index is.
        patterns: such as `{composer}/*`, in order.

    Raises:
        UsageError: a pattern cannot be understood.
    """

    def __init__(self, rows: Sequence[Row], folder: str, patterns: Sequence[str]) -> None:
        self._rows = rows
        self._folder = _normal(folder)
        self._patterns = compiled(patterns)
        self._exact: dict[str, int] = {}
        self._endings: dict[str, int] = {}
        for place, row in enumerate(rows):
            written = _written(row)
            self._enter(self._exact, posixpath.normpath(posixpath.join(self._folder, written)), place)
            self._enter(self._endings, written.lstrip("/"), place)
        self._depth = max((path.count("/") + 1 for path in self._endings), default=0)
        self._is_there: dict[int, bool] = {}

    @classmethod
    def load(cls, index: Path | None, patterns: Sequence[str]) -> "Labels":
        """Labels from a CSV or JSON file and from path patterns.

        Raises:
            NotFoundError: there is no such file.
            UsageError: the file or a pattern cannot be used; the message says where.
        """
        if index is None:
            return cls((), "", patterns)
        # Not resolve(): paths of pieces keep their links, too.
        return cls(read_index(index), os.path.abspath(index.parent), patterns)  # noqa: PTH100

    def of(self, path: str) -> dict[str, str]:
        """Label → value of the piece at a logical path."""
        labels: dict[str, str] = {}
        for pattern in self._patterns:
            labels = pattern.labels(path) | labels
        place = self._place(path)
        return labels if place is None or place == _CONTRADICTORY else labels | self._rows[place].labels

    def unused(self, paths: Iterable[str]) -> Unused:
        """The rows that do not tell of one of the paths each."""
        named = Counter(self._place(path) for path in paths)
        missing, ambiguous = [], []
        for row in self._rows:
            place = self._endings[_written(row).lstrip("/")]
            if place == _CONTRADICTORY or named[place] > 1:
                ambiguous.append(row.path)
            elif not named[place]:
                missing.append(row.path)
        return Unused(tuple(missing), tuple(ambiguous))

    def _enter(self, places: dict[str, int], path: str, place: int) -> None:
        known = places.setdefault(path, place)
        if known not in (place, _CONTRADICTORY) and self._rows[known].labels != self._rows[place].labels:
            places[path] = _CONTRADICTORY

    def _place(self, path: str) -> int | None:
        """The row that names the file at `path`."""
        if not self._rows:
            return None
        path = _normal(path)
        if (exact := self._exact.get(path)) is not None:
            return exact
        starts = [len(path) + 1]
        while len(starts) <= self._depth and starts[-1] > 0:
            starts.append(path.rfind("/", 0, starts[-1] - 1) + 1)
        for start in reversed(starts[1:]):
            place = self._endings.get(path[start:])
            if place is not None and not self._names_another(place):
                return place
        return None

    def _names_another(self, place: int) -> bool:
        """The row's path leads to a file from the index's folder, so that it means no other; asked once a row."""
        if place == _CONTRADICTORY:
            return False
        if place not in self._is_there:
            self._is_there[place] = os.path.lexists(posixpath.join(self._folder, _written(self._rows[place])))
        return self._is_there[place]


def _written(row: Row) -> str:
    """The path of a row with forward slashes and no detours."""
    return posixpath.normpath(_normal(row.path.replace("\\", "/")))


def _normal(path: str) -> str:
    """Letters with accents as one character: macOS stores them as two."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)

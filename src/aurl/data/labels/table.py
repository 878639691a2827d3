"""A CSV or JSON file that tells labels of files: read whole, checked, each row with the path that it names."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from aurl.data.labels.patterns import MAX_CHARACTERS, SPLIT, SPLIT_WORDS, cleaned
from aurl.errors import NotFoundError, UsageError
from aurl.midi.reasons import printable

MAX_INDEX_BYTES = 256 * 2**20
MAX_KEYS = 64
PATH_COLUMNS = ("path", "file", "filename", "file_name", "midi_filename")
_DELIMITERS = ",;\t"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_EXAMPLE = "a first line such as path,composer,genre,split"


class Row(NamedTuple):
    """One file and what is told of it; `path` as written there."""

    path: str
    labels: dict[str, str]


def read_index(path: Path) -> list[Row]:
    """The rows of an index.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it cannot be used; the message names the place.
    """
    try:
        if path.stat().st_size > MAX_INDEX_BYTES:
            raise UsageError(
                f"{_shown(path)} has more than {MAX_INDEX_BYTES >> 20} MiB", hint="split it, or drop columns"
            )
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"{_shown(path)} does not exist", hint="give a CSV or JSON file as metadata") from error
    except OSError as error:
        raise UsageError(f"{_shown(path)}: {error.strerror or error}", hint="check that you may read it") from error
    text = _decoded(path, data)
    found = _json_rows(path, text) if path.suffix.lower() == ".json" else _csv_rows(path, text)
    rows: list[Row] = []
    keys: set[str] = set()
    for place, table in found:
        row = _row(f"{_shown(path)}, {place}", table)
        rows.append(row)
        keys.update(row.labels)
        if len(keys) > MAX_KEYS:
            fault = f"{_shown(path)}, {place}: more than {MAX_KEYS} different labels"
            raise UsageError(fault, hint="keep the columns that matter")
    return rows


def _shown(path: Path) -> str:
    return printable(str(path))


def _decoded(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-16" if data[:2] in _UTF_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{_shown(path)}, line {line}: not UTF-8", hint="save it as UTF-8") from error


def _csv_rows(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, column → cell) of each line that is not empty."""
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        named = [name for name in header if name]
        if len(set(named)) < len(named):
            raise UsageError(f"{_shown(path)}, line 1: two columns have one name", hint="rename one of them")
        if not set(header) & set(PATH_COLUMNS):
            columns = ", ".join(PATH_COLUMNS)
            raise UsageError(f"{_shown(path)}, line 1: no column is called {columns}", hint=f"write {_EXAMPLE}")
        for cells in reader:
            if not any(cells):
                continue
            place = f"line {reader.line_num}"
            if len(cells) > len(header):
                fault = f"{_shown(path)}, {place}: {len(cells)} cells under {len(header)} columns"
                raise UsageError(fault, hint=f"put cells that hold {delimiter!r} in quotes")
            yield place, {name: cell for name, cell in zip(header, cells, strict=False) if name}
    except csv.Error as error:
        fault = f"{_shown(path)}, line {reader.line_num}: {error}"
        raise UsageError(fault, hint="check the quotes on that line") from error


def _delimiter(text: str) -> str:
    """The one that parts the first line into most columns."""
    line = text.partition("\n")[0]
    return max(_DELIMITERS, key=line.count)


def _json_rows(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, table) of each entry of a list of tables, or of an object from path to table."""
    form = f"{_shown(path)} should hold a list of tables with a path, or an object from path to table"
    hint = 'write [{"path": "a/b.mid", "composer": "…"}] or {"a/b.mid": {"composer": "…"}}'
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{_shown(path)}: no JSON ({error})", hint="check the line that is named") from error
    if isinstance(value, dict):
        entries = [(f"entry {printable(key)!r}", table, {PATH_COLUMNS[0]: key}) for key, table in value.items()]
    elif isinstance(value, list):
        entries = [(f"entry {number}", table, {}) for number, table in enumerate(value, 1)]
    else:
        raise UsageError(form, hint=hint)
    for place, table, named in entries:
        if not isinstance(table, dict):
            raise UsageError(f"{form}; {place} is no table", hint=hint)
        lowered = {key.strip().lower(): cell for key, cell in table.items()}
        yield place, {**lowered, **named}


def _row(place: str, table: Mapping[str, Any]) -> Row:
    column = next((name for name in PATH_COLUMNS if table.get(name)), None)
    if column is None or not isinstance(table[column], str):
        raise UsageError(f"{place}: no file is named", hint="fill in its path")
    labels = {}
    for key, cell in table.items():
        if key == column or cell is None:
            continue
        if text := _cell(f"{place}: {printable(key)}", cell):
            labels[cleaned(key)] = text
    if SPLIT in labels:
        split = SPLIT_WORDS.get(labels[SPLIT].lower())
        if split is None:
            raise UsageError(f"{place}: the split is {labels[SPLIT]!r}", hint="it should be train, valid or test")
        labels[SPLIT] = split
    return Row(table[column], labels)


def _cell(place: str, cell: Any) -> str:
    if not isinstance(cell, (str, int, float)):
        raise UsageError(f"{place} is a {type(cell).__name__}", hint="labels are texts or numbers")
    text = str(cell)
    if len(text) > MAX_CHARACTERS:
        raise UsageError(f"{place} has {len(text)} characters", hint=f"keep labels below {MAX_CHARACTERS}, or drop it")
    return cleaned(text)

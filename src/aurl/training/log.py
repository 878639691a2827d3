"""What a run writes down: one JSON object per line for machines, dated lines for people."""

import gzip
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Protocol, Self

from aurl.storage import atomic_write

ROOT_LOGGER = "aurl"
MAX_LOG_BYTES = 8 * 2**20
KEPT_LOGS = 5
TAIL_BYTES = 2**16
"""Of a `metrics.jsonl`: more than several of its longest lines."""
Metrics = Mapping[str, Any]


class LineFormatter(logging.Formatter):
    """`[YYYY-MM-DD HH:MM:SS.mmm] [LEVEL] [MODULE] message`, local time; the module without the package's name."""

    def __init__(self) -> None:
        super().__init__("[%(asctime)s] [%(levelname)s] [%(module_path)s] %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """One record; a traceback follows on its own lines."""
        record.module_path = record.name.removeprefix(f"{ROOT_LOGGER}.")
        return super().format(record)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Local time to the millisecond."""
        return datetime.fromtimestamp(record.created).isoformat(sep=" ", timespec="milliseconds")


def _compress(source: str, destination: str) -> None:
    with Path(source).open("rb") as plain, gzip.open(destination, "wb") as packed:
        shutil.copyfileobj(plain, packed)
    Path(source).unlink()


@contextmanager
def logging_to(path: Path, *, level: int = logging.INFO) -> Iterator[None]:
    """Send what the package logs to the file `path` too; full files are compressed beside it and the oldest go.

    An error that ends the block is written with its traceback, to the file only: whoever catches it tells the user.
    """
    handler = RotatingFileHandler(path, maxBytes=MAX_LOG_BYTES, backupCount=KEPT_LOGS, encoding="utf-8")
    handler.setFormatter(LineFormatter())
    handler.setLevel(level)
    handler.namer = lambda name: f"{name}.gz"
    handler.rotator = _compress
    logger = logging.getLogger(ROOT_LOGGER)
    previous = logger.level
    logger.addHandler(handler)
    logger.setLevel(min(level, previous) if previous else level)
    try:
        yield
    except Exception:
        handler.handle(logger.makeRecord(__name__, logging.ERROR, __file__, 0, "failed", (), sys.exc_info()))
        raise
    finally:
        logger.setLevel(previous)
        logger.removeHandler(handler)
        handler.close()


class Recorder(Protocol):
    """Is told what is measured, in order of steps."""

    def write(self, step: int, metrics: Metrics) -> None:
        """Take one record of `step`: name → value."""

    def sync(self) -> None:
        """A checkpoint is about to be saved: what was taken must not be lost from now on."""


class MetricsFile:
    """Appends records to `metrics.jsonl`; each is whole once it is written, and on the disk after `sync`.

    Args:
        path: made if need be; opened for appending.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, metrics: Metrics) -> None:
        """Append one record of `step`; numbers that are not finite become null."""
        line = json.dumps({"step": step, **{name: _finite(value) for name, value in metrics.items()}})
        self._file.write(line + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Wait until everything written is on the disk."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and value - value != 0.0 else value


def _record(line: str) -> dict[str, Any] | None:
    """A line as the record that it holds, None where it is not whole."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("step"), int) else None


def truncate_metrics(path: Path, records: int) -> int:
    """Keep the first `records` whole lines, so that what is trained again is not there twice.

    Returns:
        How many lines were dropped.
    """
    if not path.exists():
        return 0
    kept = dropped = 0
    with path.open(encoding="utf-8", errors="replace") as old, atomic_write(path, mode="w") as new:
        for line in old:
            if kept < records and line.endswith("\n") and _record(line) is not None:
                new.write(line)
                kept += 1
            else:
                dropped += 1
    return dropped


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole records of a `metrics.jsonl`, in order; a half-written last line is left out."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", errors="replace") as file:
        return [record for record in map(_record, file) if record is not None]


def read_newest(path: Path) -> dict[str, Any]:
    """The last whole record of a `metrics.jsonl`, read from its end; empty without one."""
    if not path.exists():
        return {}
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        lines = file.read().decode("utf-8", errors="replace").split("\n")
    return next((record for record in map(_record, reversed(lines)) if record is not None), {})

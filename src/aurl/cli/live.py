"""Training as a panel on a terminal: how far it is, its newest numbers, what it advises and what happened last."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aurl.cli.bars import duration
from aurl.cli.logs import LIBRARY
from aurl.progress import Progress, Report

REFRESH_PER_SECOND = 4
HISTORY = 4096
"""Losses that are remembered; as many as there is room for are drawn."""
SPARK_WIDTH = 48
BLOCKS, PLAIN_BLOCKS = "▁▂▃▄▅▆▇█", "_.-=+*#@"
"""From low to high; the second where the terminal has only ASCII."""
EVENTS, ADVICE = 3, 3
"""Lines of each that are shown."""
NUMBERS = ("loss", "nats_per_token", "nats_per_note", "elbo_per_token", "elbo_per_note")
"""Shown of train and of valid, where they are there."""
LEVELS = {
    "KL": "train/kl_",
    "active units": "valid/active_units_",
    "shuffled cost": "valid/shuffled_cost_",
}
SINGLE = (
    *("stage", "beta", "discriminator_stage", "train/discriminator_accuracy", "train/adversarial"),
    *("gradient_norm", "lr"),
)
RECORDS = "aurl.training.recording"
"""Logs each record of numbers, which the panel shows anyway."""


class TrainingPanel(logging.Handler):
    """What is drawn; it is told of progress, and hears what the library logs.

    Args:
        blocks: characters of the curve, from low to high.
        clock: seconds.
    """

    def __init__(self, *, blocks: str = BLOCKS, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.INFO)
        self._blocks, self._clock = blocks, clock
        self._began = clock()
        self._progress: Progress | None = None
        self._tokens: Any = None
        self._losses: deque[float] = deque(maxlen=HISTORY)
        self._events: deque[str] = deque(maxlen=EVENTS)
        self._advice: deque[str] = deque(maxlen=ADVICE)

    def report(self, progress: Progress) -> None:
        """Take what the library tells after each step."""
        self._progress = progress
        metrics = progress.metrics
        loss, tokens = metrics.get("train/loss"), metrics.get("tokens")
        if isinstance(loss, int | float) and loss - loss == 0 and tokens != self._tokens:
            self._tokens = tokens
            self._losses.append(loss)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line that is logged."""
        if record.name != RECORDS and record.name.partition(".")[0] == LIBRARY:
            lines = self._advice if record.levelno >= logging.WARNING else self._events
            lines.append(record.getMessage())

    def __rich__(self) -> RenderableType:
        """The panel as it stands."""
        progress = self._progress
        if progress is None:
            return Text("beginning…")
        metrics = progress.metrics
        rows = [*self._head(progress), *_numbers(metrics), *self._curve(), *_levels(metrics), *_single(metrics)]
        rows += [Text(line, style="yellow") for line in self._advice]
        rows += [Text(line, style="dim", overflow="ellipsis", no_wrap=True) for line in self._events]
        table = Table.grid(expand=True)
        for row in rows:
            table.add_row(row)
        return Panel(table, title=progress.task, title_align="left", border_style="dim")

    def _head(self, progress: Progress) -> list[RenderableType]:
        total = "" if progress.total is None else f" of {progress.total:,}"
        share = "" if not progress.total else f"{progress.done / progress.total:.0%}"
        left = "" if progress.seconds_left is None else f"{duration(progress.seconds_left)} left"
        pace = progress.metrics.get("tokens_per_second")
        memory = progress.metrics.get("memory_mib")
        facts = (
            f"{progress.unit} {progress.done:,}{total}",
            share,
            f"{duration(self._clock() - self._began)} gone",
            left,
            "" if pace is None else f"{pace:,.0f} tokens/s",
            "" if memory is None else f"{memory:,.0f} MiB",
        )
        bar = ProgressBar(total=progress.total, completed=progress.done, pulse=progress.total is None)
        return [bar, Text(" · ".join(fact for fact in facts if fact))]

    def _curve(self) -> list[RenderableType]:
        if len(self._losses) < 2:
            return []
        return [Text(f"train/loss {sparkline(self._losses, SPARK_WIDTH, self._blocks)}")]


def sparkline(values: Sequence[float], width: int, blocks: str = BLOCKS) -> str:
    """A curve one line high: means of neighbours where there are more than `width` values."""
    values = list(values)
    edges = [round(place * len(values) / width) for place in range(width + 1)] if len(values) > width else None
    if edges is not None:
        values = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(values), max(values)
    steps = len(blocks) - 1
    return "".join(blocks[round((value - low) / (high - low) * steps) if high > low else 0] for value in values)


def _numbers(metrics: Mapping[str, Any]) -> list[RenderableType]:
    """Train and valid, one below the other."""
    shown = [name for name in NUMBERS if f"train/{name}" in metrics or f"valid/{name}" in metrics]
    return _table(shown, {side: [f"{side}/{name}" for name in shown] for side in ("train", "valid")}, metrics)


def _levels(metrics: Mapping[str, Any]) -> list[RenderableType]:
    """What each level of latents costs, and how it is used."""
    prefix = LEVELS["KL"]
    levels = [name.removeprefix(prefix) for name in metrics if name.startswith(prefix)]
    return _table(list(LEVELS), {level: [before + level for before in LEVELS.values()] for level in levels}, metrics)


def _table(head: Sequence[str], rows: Mapping[str, Sequence[str]], metrics: Mapping[str, Any]) -> list[RenderableType]:
    if not head or not rows:
        return []
    table = Table.grid(padding=(0, 3))
    table.add_row("", *head, style="dim")
    for label, names in rows.items():
        table.add_row(label, *(_short(metrics.get(name)) for name in names))
    return [table]


def _single(metrics: Mapping[str, Any]) -> list[RenderableType]:
    parts = [f"{name.rpartition('/')[2]} {_short(metrics[name])}" for name in SINGLE if name in metrics]
    return [Text(" · ".join(parts))] if parts else []


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "–"


@contextmanager
def panel() -> Iterator[tuple[Report, Callable[[str], None]]]:
    """A report that keeps a panel up to date, and a function that writes a line above it; both on stderr."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    drawn = TrainingPanel(blocks=BLOCKS if console.encoding.startswith("utf") else PLAIN_BLOCKS)
    logger = logging.getLogger(LIBRARY)
    level = logger.level
    logger.addHandler(drawn)
    logger.setLevel(min(level, logging.INFO) if level else logging.INFO)
    try:
        with Live(drawn, console=console, refresh_per_second=REFRESH_PER_SECOND, redirect_stdout=False):
            yield drawn.report, partial(console.print, soft_wrap=True)
    finally:
        logger.setLevel(level)
        logger.removeHandler(drawn)

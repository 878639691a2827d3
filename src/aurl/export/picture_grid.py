"""Piano rolls side by side: rows and columns of short pieces, all of them to one scale."""

import io
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from aurl.export.roll import Lane, draw_lanes, lanes_of, row_limits
from aurl.midi.score import Score

CELL_INCHES = (2.4, 1.3)
GAP_INCHES = 0.08
LEFT_INCHES, RIGHT_INCHES, BOTTOM_INCHES = 1.2, 0.1, 0.3
TITLE_INCHES, COLUMN_LABEL_INCHES = 0.35, 0.25
DOTS_PER_INCH = 110
MAX_PIXELS = 16_000
"""Of a side; larger grids get fewer dots per inch: few viewers open more, and Agg draws at most 65,535."""
MARGIN_ROWS = 0.7
DRUM_GAP = 3
"""Rows between the lowest pitch and the drums below it."""
HIT = 1 / 120
"""Share of the drawn time that a drum hit takes: cells are small."""
LEAST_SECONDS = 1.0
MAX_LABEL = 40
LABEL_LINE, LABEL_LINES = 14, 4
"""Characters and lines that fit left of a row."""
LABEL: dict[str, Any] = {"fontsize": 8, "parse_math": False}


def picture_grid(
    scores: Sequence[Sequence[Score]],
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    title: str = "",
) -> bytes:
    """Piano rolls as PNG; all cells show the same pitches and seconds, so that they can be compared.

    Colour is the track, opacity the velocity; drums are below the pitches.

    Args:
        scores: row by row; a row may be shorter than others.
        row_labels: left of each row; all of them or none.
        column_labels: above each column; all of them or none.
        title: above everything.

    Raises:
        ValueError: no scores, or another number of labels than of rows or columns.
    """
    n_columns = max(map(len, scores), default=0)
    if not n_columns:
        raise ValueError("a grid without scores")
    if len(row_labels) not in (0, len(scores)) or len(column_labels) not in (0, n_columns):
        raise ValueError(f"{len(row_labels)} × {len(column_labels)} labels for {len(scores)} × {n_columns} scores")
    cells = [[lanes_of(score) for score in row] for row in scores]
    every = list(chain.from_iterable(chain.from_iterable(cells)))
    low, high = row_limits([lane for lane in every if not lane.track.is_drum])
    cells = [[[_below(lane, low) for lane in lanes] for lanes in row] for row in cells]
    lowest = min([low, *(float(lane.row.min()) for lanes in chain.from_iterable(cells) for lane in lanes)])
    seconds = max([LEAST_SECONDS, *(float(lane.end.max()) for lane in every)])
    figure, axes = _figure([len(row) for row in scores], title, is_labelled=bool(column_labels))
    for lanes, axis in zip(chain.from_iterable(cells), chain.from_iterable(axes), strict=True):
        draw_lanes(axis, lanes, 0.0, seconds, hit=HIT)
        axis.set_ylim(lowest - MARGIN_ROWS, high + MARGIN_ROWS)
    _write_labels(axes, row_labels, column_labels)
    target = io.BytesIO()
    FigureCanvasAgg(figure).print_png(target, metadata={"Software": "aurl"})
    return target.getvalue()


def _below(lane: Lane, low: float) -> Lane:
    """A drum lane as far below the pitches as its place in the kit says; other lanes as they are."""
    return replace(lane, row=int(low) - DRUM_GAP - lane.row) if lane.track.is_drum else lane


def _figure(lengths: Sequence[int], title: str, *, is_labelled: bool) -> tuple[Figure, list[list[Axes]]]:
    """A figure with so many axes in each row."""
    across, up = (inches + GAP_INCHES for inches in CELL_INCHES)
    top = TITLE_INCHES * bool(title) + COLUMN_LABEL_INCHES * is_labelled + GAP_INCHES
    width = LEFT_INCHES + max(lengths) * across + RIGHT_INCHES
    height = top + len(lengths) * up + BOTTOM_INCHES
    dots = min(DOTS_PER_INCH, MAX_PIXELS / max(width, height))
    figure = Figure(figsize=(width, height), dpi=dots, facecolor="white")
    if title:
        figure.text(0.1 / width, 1 - 0.08 / height, title, va="top", fontweight="bold", **(LABEL | {"fontsize": 10}))
    size = CELL_INCHES[0] / width, CELL_INCHES[1] / height
    axes = []
    for row, length in enumerate(lengths):
        bottom = 1 - (top + (row + 1) * up - GAP_INCHES) / height
        axes.append([figure.add_axes(((LEFT_INCHES + n * across) / width, bottom, *size)) for n in range(length)])
    for axis in chain.from_iterable(axes):
        _prepare(axis)
    return figure, axes


def _prepare(axis: Axes) -> None:
    axis.set_axisbelow(True)
    axis.yaxis.set_major_locator(MultipleLocator(12))
    axis.grid(axis="y", color="#dddddd", lw=0.6)
    axis.tick_params(labelsize=7, length=2, pad=2, labelleft=False, left=False, labelbottom=False)
    for spine in axis.spines.values():
        spine.set_color("#999999")


def _write_labels(axes: Sequence[Sequence[Axes]], rows: Sequence[str], columns: Sequence[str]) -> None:
    """What rows and columns are, octaves beside the first row's first cell, seconds below the last row."""
    for label, row in zip(rows, axes, strict=False):
        if row:
            row[0].set_ylabel(_wrapped(label), rotation=0, ha="right", va="center", labelpad=22, **LABEL)
    longest = max(axes, key=len)
    for label, axis in zip(columns, longest, strict=False):
        axis.set_title(_short(label), pad=4, **LABEL)
    for row in filter(None, axes):
        row[0].yaxis.set_major_formatter(lambda pitch, _: f"C{int(pitch) // 12 - 1}" if pitch >= 0 else "")
        row[0].tick_params(labelleft=True)
    for axis in axes[-1]:
        axis.tick_params(labelbottom=True, bottom=True)


def _short(label: str) -> str:
    return label if len(label) <= MAX_LABEL else f"{label[: MAX_LABEL - 1]}…"


def _wrapped(label: str) -> str:
    return textwrap.fill(label, LABEL_LINE, max_lines=LABEL_LINES, placeholder="…")

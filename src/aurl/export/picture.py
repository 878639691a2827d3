"""Piano-roll pictures of scores.

A piece is set like a printed one: in systems (lines) of equal length, one above the other, so that ten seconds and
five minutes are both legible. Drums have a narrow lane of their own under each system.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray

from aurl.export.roll import draw_lanes, lanes_of, row_limits
from aurl.midi.clock import bar_ticks, seconds_at
from aurl.midi.score import Score
from aurl.storage import write_bytes

WIDTH_INCHES = 14.0
DOTS_PER_INCH = 110
SYSTEM_SECONDS = (12.0, 24.0, 36.0, 60.0)
"""Lengths that a system may have: the shortest that needs at most `FEW_SYSTEMS`."""
FEW_SYSTEMS = 5
MAX_SYSTEMS = 12
"""Longer pieces get longer systems instead."""
SYSTEM_INCHES, ONE_SYSTEM_INCHES, DRUM_INCHES = 2.1, 4.2, 0.5
DRUMS_ALONE_INCHES = 1.2
LEGEND_ROW_INCHES, GAP_INCHES, BOTTOM_INCHES = 0.18, 0.45, 0.35
ROUNDING = 1e-9
MAX_BAR_NUMBERS = 16
"""Bar numbers on one system; with more bars only every 2nd, 4th, 8th … is numbered."""
MAX_LEGEND = 16
LEGEND_COLUMNS = 6


@dataclass(frozen=True)
class _System:
    """The axes of one system; at least one of them is there."""

    pitched: Axes | None
    drums: Axes | None

    @property
    def top(self) -> Axes:
        return cast("Axes", self.pitched or self.drums)

    @property
    def bottom(self) -> Axes:
        return cast("Axes", self.drums or self.pitched)


def save_picture(score: Score, path: Path, *, title: str = "") -> None:
    """Write the piano roll of `score` as PNG, atomically."""
    write_bytes(path, picture(score, title=title))


def picture(score: Score, *, title: str = "") -> bytes:
    """The piano roll of `score` as PNG.

    Colour is the instrument, opacity the velocity; solid vertical lines are bars, numbered above each system, and
    seconds are below it.
    """
    lanes = lanes_of(score)
    pitched = [lane for lane in lanes if not lane.track.is_drum]
    drums = [lane for lane in lanes if lane.track.is_drum]
    length = max((float(lane.end.max()) for lane in lanes), default=0.0)
    edges = _system_edges(length)
    bars = seconds_at(score, bar_ticks(score, score.end_tick))
    numbers = _numbered_bars(bars, edges)
    entries = list(dict.fromkeys((lane.colour, lane.label) for lane in lanes))
    legend_rows = math.ceil(min(len(entries), MAX_LEGEND + 1) / LEGEND_COLUMNS)
    figure, systems = _figure(
        len(edges) - 1, legend_rows, has_drums=bool(drums), has_pitched=bool(pitched or not drums)
    )
    limits = row_limits(pitched), row_limits(drums, least=1)
    for system, begin, end in zip(systems, edges[:-1], edges[1:], strict=True):
        for axis, chosen, (low, high) in zip((system.pitched, system.drums), (pitched, drums), limits, strict=True):
            if axis is not None:
                draw_lanes(axis, chosen, begin, end)
                axis.set_ylim(low - 0.7, high + 0.7)
        _finish_system(system, bars, numbers, begin, end)
    systems[-1].bottom.set_xlabel("seconds", fontsize=8, labelpad=1)
    _legend(figure, entries, title)
    target = io.BytesIO()
    FigureCanvasAgg(figure).print_png(target, metadata={"Software": "aurl"})
    return target.getvalue()


def _system_edges(length: float) -> list[float]:
    """Seconds at which systems begin, and at last the end of the last one."""
    seconds = next((known for known in SYSTEM_SECONDS if length <= known * FEW_SYSTEMS), length / MAX_SYSTEMS)
    if length <= seconds:
        return [0.0, max(length, SYSTEM_SECONDS[0] / 2)]
    return [system * seconds for system in range(math.ceil(length / seconds - ROUNDING) + 1)]


def _numbered_bars(bars: NDArray[np.float64], edges: Sequence[float]) -> NDArray[np.int64]:
    """Indices of the bars that get a line and a number: all, or only every 2nd, 4th, 8th and so on."""
    most = int(np.histogram(bars, edges)[0].max())
    stride = 1 << max(0, math.ceil(math.log2(max(most, 1) / MAX_BAR_NUMBERS)))
    return np.arange(0, len(bars), stride)


def _figure(count: int, legend_rows: int, *, has_drums: bool, has_pitched: bool) -> tuple[Figure, list[_System]]:
    rolls = (ONE_SYSTEM_INCHES if count == 1 else SYSTEM_INCHES) if has_pitched else 0.0
    drums = (DRUM_INCHES if has_pitched else DRUMS_ALONE_INCHES) if has_drums else 0.0
    pitch = rolls + drums + GAP_INCHES
    legend = LEGEND_ROW_INCHES * max(legend_rows - 1, 0)
    height = legend + count * pitch + BOTTOM_INCHES
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DOTS_PER_INCH, facecolor="white")
    systems = []
    for number in range(count):
        bottom = height - legend - (number + 1) * pitch
        system = _System(
            _axis(figure, (bottom + drums) / height, rolls / height) if rolls else None,
            _axis(figure, bottom / height, drums / height) if drums else None,
        )
        systems.append(system)
    return figure, systems


def _axis(figure: Figure, bottom: float, height: float) -> Axes:
    axis = figure.add_axes((0.045, bottom, 0.945, height))
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=7, length=2, pad=2)
    for spine in axis.spines.values():
        spine.set_color("#999999")
    return axis


def _finish_system(
    system: _System, bars: NDArray[np.float64], numbers: NDArray[np.int64], begin: float, end: float
) -> None:
    """Octave lines, bar lines with their numbers on top, seconds below."""
    numbers = numbers[(bars[numbers] >= begin) & (bars[numbers] < end)]
    for axis in filter(None, (system.pitched, system.drums)):
        axis.vlines(bars[numbers], 0, 1, transform=axis.get_xaxis_transform(), colors="#bbbbbb", lw=0.8, zorder=0)
        axis.xaxis.set_major_locator(MultipleLocator(_second_stride(end - begin)))
    if system.pitched is not None:
        system.pitched.yaxis.set_major_locator(MultipleLocator(12))
        system.pitched.yaxis.set_major_formatter(lambda pitch, _: f"C{int(pitch) // 12 - 1}")
        system.pitched.grid(axis="y", color="#dddddd", lw=0.6)
        system.pitched.tick_params(labelbottom=system.drums is None, bottom=system.drums is None)
    if system.drums is not None:
        system.drums.set_yticks([])
        system.drums.set_ylabel("drums", fontsize=7)
    style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 6.5, "color": "#777777"}
    for number in numbers.tolist():
        where = (bars[number], 1.0)
        system.top.annotate(str(number + 1), where, (2, 1), xycoords=system.top.get_xaxis_transform(), **style)


def _second_stride(length: float) -> float:
    for stride in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600):
        if length / stride <= 15:
            return stride
    return length / 10


def _legend(figure: Figure, entries: Sequence[tuple[str, str]], title: str) -> None:
    if title:
        figure.text(0.045, 0.995, title, ha="left", va="top", fontsize=10, fontweight="bold", parse_math=False)
    patches = [Patch(color=colour, label=label.replace("$", r"\$")) for colour, label in entries[:MAX_LEGEND]]
    if len(entries) > MAX_LEGEND:
        patches.append(Patch(color="none", label=f"and {len(entries) - MAX_LEGEND} more"))
    if patches:
        figure.legend(
            handles=patches, loc="upper right", ncols=LEGEND_COLUMNS, fontsize=7.5, frameon=False,
            bbox_to_anchor=(0.995, 1.0), borderaxespad=0.2, handlelength=1.2, columnspacing=1.2,
        )  # fmt: skip

"""Curves over steps as inline SVG; with JavaScript, pointing at one shows what all of them were there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from pathlib import Path
from typing import NamedTuple

from aurl.page.bar_charts import ROUND
from aurl.page.document import text

WIDTH, HEIGHT = 640, 210
LEFT, RIGHT, TOP, BOTTOM = 58, 10, 10, 24
"""Margins."""
COLOURS = 8
LINES_X, LINES_Y = 6, 4
"""Grid lines, about."""
DOTS = 30
"""Points of a curve that are also shown as dots: validations are few, and a single one is no curve."""
ROOM = 0.04
"""Empty share above and below the curves."""
USUAL, TOWERING = 0.95, 3.0
"""What is this many times as far from the least as most points are is cut off, or it would flatten the rest."""
FEW = 40
"""With fewer points nothing is cut off."""
FINER = 0.7
"""Grid lines may be that much closer than asked for, so that there are not too few."""
MANY = 5
"""Decimals from which on a tick is written with an exponent."""

STYLE = Path(__file__).with_name("line_charts.css").read_text(encoding="utf-8")
SCRIPT = Path(__file__).with_name("line_charts.js").read_text(encoding="utf-8")


Span = tuple[float, float]


class Point(NamedTuple):
    """A place on a curve: the mean of what was measured around `x`, and its lowest and highest values."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Line:
    """One curve.

    Args:
        name: in the legend.
        points: from left to right; all of them finite.
        colour: which of `COLOURS`.
    """

    name: str
    points: Sequence[Point]
    colour: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at `x`, as a vertical line; `bad` is drawn as a warning."""

    x: float
    text: str
    bad: bool = False


@dataclass(frozen=True, slots=True)
class _Frame:
    """What part of the plane is drawn."""

    x0: float
    x1: float
    y0: float
    y1: float

    @property
    def scale(self) -> tuple[float, float]:
        """Units of the picture for one to the right, and for one up."""
        return (WIDTH - LEFT - RIGHT) / (self.x1 - self.x0), (HEIGHT - BOTTOM - TOP) / (self.y1 - self.y0)

    def x(self, value: float) -> float:
        return LEFT + (value - self.x0) * self.scale[0]

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.y0) * self.scale[1]


def curves(lines: Sequence[Line], *, marks: Sequence[Mark] = (), span: Span | None = None, title: str = "") -> str:
    """Curves in one frame, with a legend that has the newest value of each; empty without points.

    Args:
        lines: what is drawn; where many values became one point, a band shows how far they went.
        marks: drawn behind them.
        span: what the frame shows from left to right, so that several can show the same; as far as they go by default.
        title: above the legend, if names alone do not tell it.
    """
    lines = [line for line in lines if line.points]
    if not lines:
        return ""
    frame = _frame(lines, span)
    parts = [*_grid(frame), *_marks(marks, frame)]
    parts += [part for number, line in enumerate(lines) for part in _curve(number, line, frame)]
    box = (frame.x0, frame.x1, frame.y0, frame.y1, LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM)
    data = f'data-box="{" ".join(f"{value:.10g}" for value in box)}"'
    named = text(title or ", ".join(line.name for line in lines))
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{named}" {data}>{"".join(parts)}</svg>'
    heading = f"<strong>{text(title)}</strong>" if title else ""
    return f'<figure class="curves"><figcaption>{heading}{"".join(_legend(lines))}</figcaption>{svg}</figure>'


def _frame(lines: Sequence[Line], span: Span | None) -> _Frame:
    x = span or [point.x for line in lines for point in (line.points[0], line.points[-1])]
    y = sorted(point.y for line in lines for point in line.points)
    low, high = y[0], y[-1]
    usual = y[int(USUAL * (len(y) - 1))]
    if len(y) >= FEW and high - low > TOWERING * (usual - low) > 0:
        high = usual + (usual - low) / 2
    room = ROOM * (high - low) or abs(high) * ROOM or 1.0
    x0, x1 = min(x), max(x)
    return _Frame(x0, x1 if x1 > x0 else x0 + 1, low - room, high + room)


def _legend(lines: Sequence[Line]) -> Iterable[str]:
    for number, line in enumerate(lines):
        newest = f'<b data-line="{number}">{short(line.points[-1].y)}</b>'
        yield f'<span class="c{line.colour % COLOURS}"><i></i>{text(line.name)} {newest}</span>'


def short(value: float) -> str:
    """A number with four digits, with thousands set apart."""
    if value and not 1e-5 <= abs(value) < 1e15:
        return f"{value:.3g}"
    digits = 4 - 1 - floor(log10(abs(value))) if value else 0
    shown = f"{value:,.{max(0, digits)}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _curve(number: int, line: Line, frame: _Frame) -> Iterable[str]:
    colour, points = f'class="c{line.colour % COLOURS}"', line.points
    if any(point.high > point.low for point in points):
        around = [(point.x, point.high) for point in points] + [(point.x, point.low) for point in reversed(points)]
        yield f'<polygon {colour} points="{_places(around, frame)}"/>'
    places = _places([(point.x, point.y) for point in points], frame)
    yield f'<polyline {colour} data-line="{number}" points="{places}"/>'
    if len(points) <= DOTS:
        for x, y in (place.split(",") for place in places.split()):
            yield f'<circle {colour} cx="{x}" cy="{y}" r="2.4"/>'


def _places(values: Sequence[tuple[float, float]], frame: _Frame) -> str:
    """Where values stand, as SVG writes it; formatted in one go, for a page has tens of thousands of them."""
    across, up = frame.scale
    bottom, x0, y0 = HEIGHT - BOTTOM, frame.x0, frame.y0
    places = [
        part for x, y in values for part in (LEFT + (x - x0) * across, max(TOP, min(bottom, bottom - (y - y0) * up)))
    ]
    return " ".join(["%.1f,%.2f"] * len(values)) % tuple(places)


def _marks(marks: Sequence[Mark], frame: _Frame) -> Iterable[str]:
    for mark in marks:
        if frame.x0 <= mark.x <= frame.x1:
            x, kind = f"{frame.x(mark.x):.1f}", "mark bad" if mark.bad else "mark"
            told = f"<title>{text(mark.text)}</title>"
            yield f'<line class="{kind}" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}">{told}</line>'


def _grid(frame: _Frame) -> Iterable[str]:
    for value, label in ticks(frame.y0, frame.y1, LINES_Y):
        y = f"{frame.y(value):.1f}"
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{LEFT - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{label}</text>'
    for value, label in ticks(frame.x0, frame.x1, LINES_X):
        yield f'<text x="{frame.x(value):.1f}" y="{HEIGHT - 7}" text-anchor="middle">{label}</text>'


def ticks(low: float, high: float, count: int) -> list[tuple[float, str]]:
    """Round values between `low` and `high`, about `count`, each as it is written."""
    rough = (high - low) / count
    if not isfinite(rough) or rough <= 0:
        return []
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in ROUND if factor * power >= FINER * rough)
    decimals = max(0, -floor(log10(step) + 1e-9))
    values = [number * step for number in range(ceil(low / step), floor(high / step) + 1)]
    return [(value, _tick(value, decimals)) for value in values]


def _tick(value: float, decimals: int) -> str:
    if not value:
        return "0"
    return f"{value:.2g}" if decimals > MANY else f"{value:,.{decimals}f}"

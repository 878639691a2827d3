"""Bar charts as inline SVG."""

from collections.abc import Collection, Mapping, Sequence
from math import ceil, floor, log10

from aurl.page.document import figure, text

WIDTH, HEIGHT = 640, 200
"""Of a chart, in its own units; pages scale it."""
MARGIN_LEFT, MARGIN_BOTTOM, MARGIN_TOP = 56, 34, 8
MAX_LABELS = 14
"""Labels under the bars that can be read."""
GAP = 0.15
"""Share of a bar's room that stays empty."""
MAX_GAP = 4.0
GRID_LINES = 4
"""Above the floor, at most."""
ROUND = (1, 2, 5, 10)
"""What figures at grid lines are multiples of, beside powers of ten."""
ROW_HEIGHT = 18
LABEL_WIDTH = 150
MAX_LABEL = 26
"""Characters of a label that are shown beside a bar."""


def charts(figures: Sequence[str]) -> str:
    """Charts in a grid."""
    return f'<div class="charts">{"".join(figures)}</div>'


def bars(title: str, values: Mapping[str, float], *, unit: str = "", every: int = 1) -> str:
    """A bar chart of label → value ≥ 0, in the order given; each bar tells its value when it is pointed at.

    Args:
        title: above it.
        values: what is drawn.
        unit: of the values.
        every: labels are shown under the first bar and each so many further, or a multiple where they are too many.
    """
    grid = _grid(values.values())
    top = grid[-1]
    room = (WIDTH - MARGIN_LEFT) / max(len(values), 1)
    height = HEIGHT - MARGIN_BOTTOM - MARGIN_TOP
    parts = [_grid_line(value, MARGIN_TOP + height * (1 - value / top)) for value in grid]
    gap = min(GAP * room, MAX_GAP)
    step = every * (-(-len(values) // (every * MAX_LABELS)) or 1)
    for place, (label, value) in enumerate(values.items()):
        tall = height * value / top
        x, y = MARGIN_LEFT + place * room, MARGIN_TOP + height - tall
        told = f"<title>{text(label)}: {figure(value)} {text(unit)}</title>"
        size = f'width="{room - gap:.2f}" height="{tall:.2f}"'
        parts.append(f'<rect x="{x + gap / 2:.2f}" y="{y:.2f}" {size}>{told}</rect>')
        if place % step == 0:
            at = f'x="{x + room / 2:.1f}" y="{HEIGHT - MARGIN_BOTTOM + 16}"'
            parts.append(f'<text {at} text-anchor="middle">{text(label)}</text>')
    return _drawing(title, HEIGHT, parts)


def ranking(title: str, values: Mapping[str, float], *, unit: str = "") -> str:
    """Bars that lie one below the other, for labels that are words; in the order given."""
    top = max(values.values(), default=0.0) or 1.0
    parts = []
    for place, (label, value) in enumerate(values.items()):
        y, long = place * ROW_HEIGHT, (WIDTH - 2 * LABEL_WIDTH) * value / top
        told = f"<title>{text(label)}: {figure(value)} {text(unit)}</title>"
        size = f'width="{long:.2f}" height="{ROW_HEIGHT - MAX_GAP}"'
        parts.append(f'<text x="{LABEL_WIDTH - 6}" y="{y + 12}" text-anchor="end">{text(label[:MAX_LABEL])}</text>')
        parts.append(f'<rect x="{LABEL_WIDTH}" y="{y}" {size}>{told}</rect>')
        parts.append(f'<text x="{LABEL_WIDTH + long + 6:.1f}" y="{y + 12}">{figure(value)}</text>')
    return _drawing(title, ROW_HEIGHT * max(len(values), 1), parts)


def _drawing(title: str, height: float, parts: Sequence[str]) -> str:
    svg = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{text(title)}">{"".join(parts)}</svg>'
    return f"<figure><figcaption>{text(title)}</figcaption>{svg}</figure>"


def _grid(values: Collection[float]) -> list[float]:
    """Round figures from 0 to the largest value or a little more; whole ones for what is counted."""
    top = max(values, default=0) or 1
    power = 10.0 ** floor(log10(top / GRID_LINES))
    step = next(factor * power for factor in ROUND if factor * power * GRID_LINES >= top)
    if all(isinstance(value, int) for value in values):
        step = max(step, 1)
    return [line * step for line in range(ceil(top / step) + 1)]


def _grid_line(value: float, y: float) -> str:
    label = f'<text x="{MARGIN_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{figure(value)}</text>'
    return f'<line x1="{MARGIN_LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>{label}'

"""Self-contained HTML pages: tables and bar charts as inline SVG, without scripts, fonts or pictures from elsewhere.

Everything that is given as text is escaped; what may come from file names is made printable first.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

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

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #667085; --line: #d8dde6; --bar: #3b6fd4; --back: #ffffff;
  --card: #f6f8fb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #98a2b3; --line: #344054; --bar: #7aa2f7;
  --back: #14181f; --card: #1b212b; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); margin: 2rem auto;
  max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
p, .note { color: var(--soft); margin: .2rem 0 .8rem; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem 1rem; }
.card b { display: block; font-size: 1.4rem; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); gap: 1rem 2rem; }
figure { margin: 0; } figcaption { font-weight: 600; } svg { width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; } td { overflow-wrap: anywhere; }
text { fill: var(--soft); font: 11px system-ui, sans-serif; } rect { fill: var(--bar); } line { stroke: var(--line); }
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page.

    Args:
        title: heading.
        body: HTML.
        note: a sentence under the heading, plain text.
    """

    title: str
    body: str
    note: str = ""


def page(title: str, sections: Sequence[Section], *, subtitle: str = "") -> str:
    """A whole HTML document."""
    parts = [f"<h1>{text(title)}</h1>", f"<p>{text(subtitle)}</p>" if subtitle else ""]
    for section in sections:
        note = f'<p class="note">{text(section.note)}</p>' if section.note else ""
        parts.append(f"<section><h2>{text(section.title)}</h2>{note}{section.body}</section>")
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"<head>{meta}<title>{text(title)}</title><style>{STYLE}</style></head>"
    body = "\n".join(part for part in parts if part)
    return f'<!DOCTYPE html>\n<html lang="en">{head}\n<body>\n{body}\n</body></html>\n'


def text(value: object) -> str:
    """`value` as HTML text, whatever characters are in it."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(value))
    return escape(shown)


def cards(facts: Mapping[str, object]) -> str:
    """Name and figure of a few facts, side by side."""
    shown = "".join(f'<div class="card"><b>{_figure(value)}</b>{text(name)}</div>' for name, value in facts.items())
    return f'<div class="cards">{shown}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; numbers are aligned to the right."""
    is_number = [isinstance(value, int | float) for value in (rows[0] if rows else head)]
    marks = [' class="number"' if number else "" for number in is_number]
    header = "".join(f"<th{mark}>{text(name)}</th>" for mark, name in zip(marks, head, strict=True))
    lines = [
        "<tr>" + "".join(f"<td{mark}>{_figure(value)}</td>" for mark, value in zip(marks, row, strict=True)) + "</tr>"
        for row in rows
    ]
    return f"<table><thead><tr>{header}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


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
        told = f"<title>{text(label)}: {_figure(value)} {text(unit)}</title>"
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
        told = f"<title>{text(label)}: {_figure(value)} {text(unit)}</title>"
        size = f'width="{long:.2f}" height="{ROW_HEIGHT - MAX_GAP}"'
        parts.append(f'<text x="{LABEL_WIDTH - 6}" y="{y + 12}" text-anchor="end">{text(label[:MAX_LABEL])}</text>')
        parts.append(f'<rect x="{LABEL_WIDTH}" y="{y}" {size}>{told}</rect>')
        parts.append(f'<text x="{LABEL_WIDTH + long + 6:.1f}" y="{y + 12}">{_figure(value)}</text>')
    return _drawing(title, ROW_HEIGHT * max(len(values), 1), parts)


def _drawing(title: str, height: float, parts: Sequence[str]) -> str:
    drawing = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{text(title)}">{"".join(parts)}</svg>'
    return f"<figure><figcaption>{text(title)}</figcaption>{drawing}</figure>"


def _grid(values: Collection[float]) -> list[float]:
    """Round figures from 0 to the largest value or a little more; whole ones for what is counted."""
    top = max(values, default=0) or 1
    power = 10.0 ** floor(log10(top / GRID_LINES))
    step = next(factor * power for factor in ROUND if factor * power * GRID_LINES >= top)
    if all(isinstance(value, int) for value in values):
        step = max(step, 1)
    return [line * step for line in range(ceil(top / step) + 1)]


def _grid_line(value: float, y: float) -> str:
    label = f'<text x="{MARGIN_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_figure(value)}</text>'
    return f'<line x1="{MARGIN_LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>{label}'


def _figure(value: object) -> str:
    """A number with thousands set apart and no more digits than it needs; several things one below the other."""
    if isinstance(value, list | tuple):
        return "<br>".join(map(_figure, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return text(value)
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:,.3g}"

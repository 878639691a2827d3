"""Pages and what is text on them: cards, tables, sections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

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


def page(title: str, sections: Sequence[Section], *, subtitle: str = "", style: str = "", script: str = "") -> str:
    """A whole HTML document.

    Args:
        title: of the page.
        sections: what is on it.
        subtitle: plain text under the title.
        style: CSS beside `STYLE`.
        script: JavaScript that runs when all is there; the page must be readable without it.
    """
    parts = [f"<h1>{text(title)}</h1>", f"<p>{text(subtitle)}</p>" if subtitle else ""]
    for section in sections:
        note = f'<p class="note">{text(section.note)}</p>' if section.note else ""
        parts.append(f"<section><h2>{text(section.title)}</h2>{note}{section.body}</section>")
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"<head>{meta}<title>{text(title)}</title><style>{STYLE}{style}</style></head>"
    parts.append(f"<script>{script}</script>" if script else "")
    body = "\n".join(part for part in parts if part)
    return f'<!DOCTYPE html>\n<html lang="en">{head}\n<body>\n{body}\n</body></html>\n'


def text(value: object) -> str:
    """`value` as HTML text, whatever characters are in it."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(value))
    return escape(shown)


def cards(facts: Mapping[str, object]) -> str:
    """Name and figure of a few facts, side by side."""
    shown = "".join(f'<div class="card"><b>{figure(value)}</b>{text(name)}</div>' for name, value in facts.items())
    return f'<div class="cards">{shown}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; numbers are aligned to the right."""
    is_number = [isinstance(value, int | float) for value in (rows[0] if rows else head)]
    marks = [' class="number"' if number else "" for number in is_number]
    header = "".join(f"<th{mark}>{text(name)}</th>" for mark, name in zip(marks, head, strict=True))
    lines = [
        "<tr>" + "".join(f"<td{mark}>{figure(value)}</td>" for mark, value in zip(marks, row, strict=True)) + "</tr>"
        for row in rows
    ]
    return f"<table><thead><tr>{header}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def figure(value: object) -> str:
    """A number with thousands set apart and no more digits than it needs; several things one below the other."""
    if isinstance(value, list | tuple):
        return "<br>".join(map(figure, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return text(value)
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:,.3g}"

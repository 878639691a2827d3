"""Self-contained HTML pages: tables, bar charts and curves as inline SVG, nothing from elsewhere.

Everything that is given as text is escaped; what may come from file names is made printable first.
"""

from aurl.page.bar_charts import bars, charts, ranking
from aurl.page.document import Section, cards, page, table, text
from aurl.page.line_charts import SCRIPT, STYLE, Line, Mark, Point, curves, short

__all__ = [
    "SCRIPT",
    "STYLE",
    "Line",
    "Mark",
    "Point",
    "Section",
    "bars",
    "cards",
    "charts",
    "curves",
    "page",
    "ranking",
    "short",
    "table",
    "text",
]

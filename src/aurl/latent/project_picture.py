"""Latents on a plane as PNG: one picture for each way to colour them."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aurl.latent.project import Projection
from aurl.latent.project_colours import Colouring, colourings
from aurl.latent.report_pictures import png

COLUMNS, PANEL_INCHES, DOTS_PER_INCH = 3, 4.2, 110
MOST_LEGEND = 24
SMALLEST, LARGEST = 5.0, 26.0
"""Area of a point, in points, with many and with few of them."""
FEW_POINTS = 100


def projection_picture(found: Projection) -> bytes:
    """All colourings beside each other."""
    ways = colourings(found)
    columns = min(COLUMNS, max(1, len(ways)))
    rows = max(1, math.ceil(len(ways) / columns))
    size = (columns * PANEL_INCHES, rows * PANEL_INCHES + 0.4)
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, way in zip(axes, ways, strict=False):
        _draw(axis, found, way)
    for axis in axes[len(ways) :]:
        axis.set_axis_off()
    figure.suptitle(f"{found.level} latents, {found.method}, {len(found.points):,} points", fontsize=10)
    return png(figure)


def _draw(axis: Axes, found: Projection, way: Colouring) -> None:
    places = np.array(found.points)
    area = LARGEST if len(places) <= FEW_POINTS else SMALLEST
    axis.scatter(places[:, 0], places[:, 1], c=list(way.colours), s=area, linewidths=0)
    entries = list(way.legend.items())
    handles = [Line2D([], [], marker="o", ls="", color=colour, label=name) for name, colour in entries[:MOST_LEGEND]]
    if len(entries) > MOST_LEGEND:
        handles.append(Line2D([], [], ls="", label=f"and {len(entries) - MOST_LEGEND} more"))
    axis.legend(handles=handles, fontsize=6, frameon=False, loc="upper left", bbox_to_anchor=(1, 1), handletextpad=0.2)
    axis.set_title(way.name, fontsize=9, parse_math=False)
    axis.tick_params(labelsize=6)
    if found.explained:
        axis.set_xlabel(f"{found.explained[0]:.1%} of the variance", fontsize=7)
        axis.set_ylabel(f"{found.explained[1]:.1%}", fontsize=7)
    else:
        axis.set_xticks([])
        axis.set_yticks([])

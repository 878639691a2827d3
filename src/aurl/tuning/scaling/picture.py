"""A scaling law as a picture: losses of each size, and the best size for an amount of compute."""

import io

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from aurl.tuning.scaling.forecast import Scaling
from aurl.tuning.scaling.law import flops_of

WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 12.0, 5.0, 110
CURVE_POINTS, TICKS = 100, 4
FURTHER = 10.0
"""Curves go on beyond what was measured by this factor, dashed."""


def picture(found: Scaling) -> bytes:
    """A scaling law as PNG."""
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DOTS_PER_INCH, facecolor="white", layout="constrained")
    losses, sizes = figure.subplots(1, 2)
    _draw_losses(losses, found)
    _draw_best(sizes, found)
    target = io.BytesIO()
    FigureCanvasAgg(figure).print_png(target, metadata={"Software": "aurl"})
    return target.getvalue()


def _draw_losses(axis: Axes, found: Scaling) -> None:
    sizes = sorted({point.parameters for point in found.points})
    colours = colormaps["viridis"](np.linspace(0, 0.9, len(sizes)))
    amounts = [point.tokens for point in found.points]
    within = np.geomspace(min(amounts), max(amounts), CURVE_POINTS)
    beyond = np.geomspace(max(amounts), max(amounts) * FURTHER, CURVE_POINTS)
    for size, colour in zip(sizes, colours, strict=True):
        own = [point for point in found.points if point.parameters == size]
        axis.plot([point.tokens for point in own], [point.loss for point in own], "o", color=colour, markersize=4)
        axis.plot(within, [found.law.loss(size, tokens) for tokens in within], color=colour, label=f"{size:,}")
        axis.plot(beyond, [found.law.loss(size, tokens) for tokens in beyond], "--", color=colour, lw=0.8)
    axis.set_xscale("log")
    axis.set_xticks(np.geomspace(min(amounts), max(amounts) * FURTHER, TICKS))
    axis.xaxis.set_major_formatter(EngFormatter(places=1, sep=""))
    axis.minorticks_off()  # their labels would lie on one another
    axis.set_xlabel("targets learned")
    axis.set_ylabel(found.metric)
    axis.grid(color="#dddddd", lw=0.6)
    axis.legend(frameon=False, fontsize=8, title="parameters")


def _draw_best(axis: Axes, found: Scaling) -> None:
    best = sorted(found.best, key=lambda one: one.flops)
    flops = [one.flops for one in best]
    axis.plot(flops, [one.parameters for one in best], "o-", color="#d1495b", label="best size")
    low, high = zip(*(one.parameters_interval for one in best), strict=True)
    axis.fill_between(flops, low, high, color="#d1495b", alpha=0.2, lw=0, label="nine in ten")
    trained = [flops_of(point.parameters, point.tokens) for point in found.points]
    axis.plot(
        trained, [point.parameters for point in found.points], "o", color="#5f6b7a", markersize=4, label="trained"
    )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("FLOPs of training")
    axis.set_ylabel("parameters")
    axis.grid(color="#dddddd", lw=0.6)
    axis.legend(frameon=False, fontsize=8)

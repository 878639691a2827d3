"""A landscape as a picture: lines of equal loss, and the loss along both directions."""

import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from aurl.generation.load import STEP_PREFIX
from aurl.training.landscape.result import Landscape

WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 12.0, 5.2, 110
LINES = 24
"""Of equal loss."""
HIGHEST_QUANTILE = 0.98
"""Losses above it are drawn as if they were there: far out they can be any number."""


def picture(found: Landscape) -> bytes:
    """A whole landscape as PNG."""
    steps = np.array(found.steps)
    losses = np.array(found.losses, dtype=np.float64)  # None becomes NaN
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DOTS_PER_INCH, facecolor="white", layout="constrained")
    plane, cuts = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _draw_plane(figure, plane, found, steps, losses)
    _draw_cuts(cuts, found, steps, losses)
    asked = found.question
    figure.suptitle(f"{asked.run}, {asked.checkpoint}: {_told(found)}", fontsize=10, parse_math=False)
    target = io.BytesIO()
    FigureCanvasAgg(figure).print_png(target, metadata={"Software": "aurl"})
    return target.getvalue()


def _told(found: Landscape) -> str:
    sharp = found.sharpness
    if sharp is None:
        return found.question.loss
    return f"sharpness {sharp.ascent:.4g} (rho {sharp.rho:g}), largest eigenvalue {sharp.eigenvalue:.4g}"


def _draw_plane(
    figure: Figure, axis: Axes, found: Landscape, steps: NDArray[np.float64], losses: NDArray[np.float64]
) -> None:
    shown = losses[np.isfinite(losses)]
    if shown.size and shown.min() < shown.max():
        high = np.quantile(shown, HIGHEST_QUANTILE)
        levels = np.linspace(shown.min(), max(high, np.nextafter(shown.min(), np.inf)), LINES)
        options: dict[str, Any] = {"levels": levels, "cmap": "viridis", "extend": "max"}
        drawn = axis.contourf(steps, steps, np.ma.masked_invalid(losses), **options)
        axis.contour(steps, steps, np.ma.masked_invalid(losses), levels=levels, colors="white", linewidths=0.4)
        figure.colorbar(drawn, ax=axis, label=found.question.loss)
    axis.plot(0, 0, "o", color="#d1495b", markersize=6)
    for name, (right, up) in (found.trajectory or {}).items():
        axis.plot(right, up, "o", color="black", markersize=3)
        step = name.removeprefix(STEP_PREFIX).lstrip("0")
        axis.annotate(step, (right, up), fontsize=6, xytext=(3, 3), textcoords="offset points")
    axis.set_xlim(steps[0], steps[-1])
    axis.set_ylim(steps[0], steps[-1])
    for place, name in enumerate(("first", "second")):
        share = f" ({found.explained[place]:.1%} of the way)" if found.explained else ""
        (axis.set_ylabel if place else axis.set_xlabel)(f"{name} direction{share}")


def _draw_cuts(axis: Axes, found: Landscape, steps: NDArray[np.float64], losses: NDArray[np.float64]) -> None:
    middle = len(steps) // 2
    axis.plot(steps, losses[middle], color="#4269d0", label="first direction")
    axis.plot(steps, losses[:, middle], color="#e8890c", label="second direction")
    axis.set_xlabel("step")
    axis.set_ylabel(found.question.loss)
    axis.grid(color="#dddddd", lw=0.6)
    axis.legend(frameon=False, fontsize=8)

"""Statistics and metrics as PNG."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from aurl.latent.metrics.scores import LevelMetrics
from aurl.latent.stats import LevelStats, Stats
from aurl.model.latents.usage import ACTIVE_VARIANCE

WIDTH_INCHES, ROW_INCHES, DOTS_PER_INCH = 12.0, 2.6, 110
ACTIVE, SILENT, GAP = "#4269d0", "#c9cfd8", "#d1495b"
MOST_ROWS = 24
"""Dimensions that a picture of importances shows: those that tell most."""
LEAST_SHOWN = 1e-6
"""Variances below are drawn as if they were that: the axis is logarithmic."""


def stats_picture(stats: Stats) -> bytes:
    """Variance, divergence and gap of every dimension of every level, the most active first."""
    count = len(stats.levels)
    figure = Figure(figsize=(WIDTH_INCHES, ROW_INCHES * count + 0.4), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(count, 2, squeeze=False)
    for (left, right), level in zip(axes, stats.levels, strict=True):
        _draw_variance(left, level)
        _draw_divergence(right, level)
    figure.suptitle(f"{stats.run}, {stats.checkpoint}, {stats.windows} windows of {stats.split}", fontsize=10)
    return png(figure)


def _draw_variance(axis: Axes, level: LevelStats) -> None:
    variance = np.sort(np.maximum(level.variance, LEAST_SHOWN))[::-1]
    colours = np.where(variance > ACTIVE_VARIANCE, ACTIVE, SILENT)
    axis.bar(np.arange(len(variance)), variance, color=colours, width=0.9)
    axis.axhline(ACTIVE_VARIANCE, color=GAP, lw=0.8, ls="--")
    axis.set_yscale("log")
    axis.set_title(f"{level.name}: {level.active} of {level.size} units active", fontsize=9)
    axis.set_ylabel("variance of the means", fontsize=8)


def _draw_divergence(axis: Axes, level: LevelStats) -> None:
    axis.set_title(f"{level.name}: {level.kl:.2f} nats per latent", fontsize=9)
    if level.kl_of_dimensions is None or level.gap_of_dimensions is None:
        axis.text(0.5, 0.5, "this prior has no divergence by dimension", ha="center", transform=axis.transAxes)
        return
    order = np.argsort(level.kl_of_dimensions)[::-1]
    kl, gap = (np.array(values)[order] for values in (level.kl_of_dimensions, level.gap_of_dimensions))
    axis.bar(np.arange(len(kl)), kl, color=ACTIVE, width=0.9, label="from the prior, each latent")
    axis.bar(np.arange(len(gap)), gap, color=GAP, width=0.9, alpha=0.75, label="of all latents together")
    axis.set_ylabel("nats", fontsize=8)
    axis.legend(frameon=False, fontsize=8)


def metrics_picture(levels: Sequence[LevelMetrics]) -> bytes:
    """Which dimension tells which factor."""
    figure = Figure(figsize=(WIDTH_INCHES, 2.4 * ROW_INCHES), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(1, len(levels), squeeze=False)[0]
    for axis, level in zip(axes, levels, strict=True):
        _draw_importance(axis, level)
    return png(figure)


def _draw_importance(axis: Axes, level: LevelMetrics) -> None:
    weights: NDArray[np.float64] = np.array(level.importance)  # (size, factors)
    shares = weights / np.maximum(weights.sum(0), np.finfo(np.float64).tiny)
    shown = np.sort(np.argsort(shares.sum(1))[::-1][:MOST_ROWS])
    axis.imshow(shares[shown], cmap="Blues", aspect="auto", vmin=0, vmax=max(0.3, float(shares.max())))
    axis.set_xticks(range(len(level.factors)), [factor.name for factor in level.factors], rotation=60, ha="right")
    axis.set_yticks(range(len(shown)), [str(number) for number in shown])
    axis.tick_params(labelsize=7)
    axis.set_ylabel("dimension", fontsize=8)
    left = f", {len(shown)} of {len(weights)} dimensions" if len(shown) < len(weights) else ""
    axis.set_title(f"{level.name}{left}: share of each factor's weights", fontsize=9)


def png(figure: Figure) -> bytes:
    """A figure as PNG, the same bytes each time."""
    target = io.BytesIO()
    FigureCanvasAgg(figure).print_png(target, metadata={"Software": "aurl"})
    return target.getvalue()

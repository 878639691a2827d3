"""Latents on a plane."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from aurl.errors import UsageError
from aurl.latent.codes import Codes, spread
from aurl.latent.project_tsne import tsne
from aurl.progress import Report, silent

Floats = NDArray[np.float64]
MOST_POINTS = 2000
"""That are drawn: t-SNE computes with their square, and more cannot be told apart on a picture."""
FEWEST_POINTS = 3
EXTRA = "latent"


@dataclass(frozen=True)
class Projection:
    """Latents of one level as points.

    Args:
        level: "global", "local" or "fine".
        method: how they were projected.
        explained: shares of the variance along both axes; empty where they mean nothing.
        points: (N, 2)
        names: of the piece of each.
        numbers: factor → N values, None where there is none.
        words: label → N words; empty where there is none.
    """

    level: str
    method: str
    explained: tuple[float, ...]
    points: tuple[tuple[float, float], ...]
    names: tuple[str, ...]
    numbers: Mapping[str, tuple[float | None, ...]]
    words: Mapping[str, tuple[str, ...]]


def project(codes: Codes, level: str, method: str, *, seed: int = 0, report: Report = silent) -> Projection:
    """Project the posterior means of a level onto a plane, at most `MOST_POINTS` of them, evenly spread.

    Args:
        codes: of a model.
        level: one of theirs.
        method: one of `METHODS`.
        seed: of what begins at random.
        report: told of progress.

    Raises:
        UsageError: there is no such level or too few latents, or what the method needs is not installed.
    """
    own = codes.levels[level]
    if len(own) < FEWEST_POINTS:
        raise UsageError(f"{len(own)} latents make no picture", hint="take more windows (--windows)")
    chosen = np.array(spread(len(own), MOST_POINTS))
    points, explained = METHODS[method](own.mean[chosen].astype(np.float64), seed, report)
    sources = [codes.sources[window] for window in own.window[chosen].tolist()]
    return Projection(
        level,
        method,
        explained,
        tuple((round(x, 4), round(y, 4)) for x, y in points.tolist()),
        tuple(sources),
        {name: _known(values[chosen]) for name, values in codes.factors(level).items()},
        {name: tuple(np.array(words, dtype=object)[chosen].tolist()) for name, words in codes.labels(level).items()},
    )


def _known(values: Floats) -> tuple[float | None, ...]:
    return tuple(round(value, 4) if np.isfinite(value) else None for value in values.tolist())


def principal_components(x: Floats, count: int = 2) -> tuple[Floats, Floats]:
    """`(N, count)`: places along the directions in which `x` `(N, D)` varies most, and the share of variance of each.

    Each direction points to where its largest part is positive, so that it does not depend on the machine.
    """
    centred = x - x.mean(0)
    left, scale, right = np.linalg.svd(centred, full_matrices=False)
    sign = np.sign(right[np.arange(len(right)), np.abs(right).argmax(1)])
    places = (left * scale * np.where(sign < 0, -1.0, 1.0))[:, :count]
    total = (scale**2).sum()
    shares = scale[:count] ** 2 / total if total > 0 else np.zeros(min(count, len(scale)))
    missing = count - places.shape[1]
    return np.pad(places, ((0, 0), (0, missing))), np.pad(shares, (0, missing))


def _pca(x: Floats, seed: int, report: Report) -> tuple[Floats, tuple[float, ...]]:
    points, shares = principal_components(x)
    return points, tuple(round(float(share), 4) for share in shares)


def _tsne(x: Floats, seed: int, report: Report) -> tuple[Floats, tuple[float, ...]]:
    start, _ = principal_components(x)
    return tsne(x, start, report=report), ()


def _umap(x: Floats, seed: int, report: Report) -> tuple[Floats, tuple[float, ...]]:
    try:
        umap = import_module("umap")  # an extra, and it takes seconds
    except ImportError as error:
        raise UsageError(
            "umap-learn is not installed", hint=f"pip install 'aurl[{EXTRA}]', or choose --method tsne or pca"
        ) from error
    neighbours = min(15, len(x) - 1)
    points = umap.UMAP(n_neighbors=neighbours, init="pca", random_state=seed, n_jobs=1).fit_transform(x)
    return np.asarray(points, np.float64), ()


METHODS: Mapping[str, Callable[[Floats, int, Report], tuple[Floats, tuple[float, ...]]]] = {
    "pca": _pca,
    "tsne": _tsne,
    "umap": _umap,
}
"""Principal components, t-SNE (van der Maaten & Hinton, JMLR 2008), UMAP (McInnes et al., 2018; extra `latent`)."""

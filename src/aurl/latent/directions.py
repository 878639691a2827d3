"""Directions of musical attributes, learned from what the encoder says of music in which they were measured."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aurl.errors import AurlError, UsageError
from aurl.generation.directions import Attribute, Direction, Directions, load_directions, model_digest, save_directions
from aurl.generation.load import Loaded
from aurl.latent.codes import Codes, require_latents
from aurl.latent.codes_kept import load_codes
from aurl.latent.factors import Floats
from aurl.latent.regression import SMALLEST_DEVIATION, Regression
from aurl.model.latents.levels import GLOBAL
from aurl.progress import Progress, Report, silent

WINDOWS = 1024
"""Of the training set: there is one global latent in each, of some hundred dimensions."""

logger = logging.getLogger(__name__)


def ensure_directions(loaded: Loaded, dataset: Path | None = None, *, report: Report = silent) -> Directions:
    """The directions of a model, learned from its training set and kept in its run where they have not been yet.

    Args:
        loaded: a model with latents.
        dataset: where the data set is now; where the run says that it is by default.
        report: told while music is encoded.

    Raises:
        UsageError: the model has no latents, or the data set is not there or cannot be used.
    """
    require_latents(loaded)
    try:
        return load_directions(loaded)
    except AurlError as error:
        logger.info("%s: they are learned now, and kept", error.message)

    def told(progress: Progress) -> None:
        report(replace(progress, task="learn directions (once)"))

    try:
        codes = load_codes(loaded, dataset, split="train", limit=WINDOWS, report=told)
    except AurlError as error:
        raise UsageError(
            f"directions are learned from the data set of {loaded.run.name}: {error.message}",
            hint=f"say where it is: aurl inspect-latent attributes {loaded.run.name} --data FOLDER",
        ) from error
    directions = learn_directions(codes, model_digest(loaded))
    try:
        save_directions(directions, loaded.run)
    except OSError as error:  # they can be learned again
        logger.warning("directions of %s cannot be kept: %s", loaded.run.name, error)
    return directions


def learn_directions(codes: Codes, model: str) -> Directions:
    """Regress every attribute on the latents of every level, segment by segment.

    A change is counted in deviations of the attribute over windows on all levels: what makes a window a deviation
    denser makes every segment in it denser by as much.

    Args:
        codes: of the training split; of five pieces at least.
        model: which weights they are of, see `model_digest`.

    Raises:
        UsageError: there is nothing to learn from.
    """
    units = _units(codes)
    learned = {
        name: {level: one for level in codes.levels if (one := _learn(codes, level, name, deviation)) is not None}
        for name, (_, deviation) in units.items()
    }
    if not any(learned.values()):
        pieces = len(set(codes.piece.tolist()))
        raise UsageError(
            f"{len(codes.piece)} windows of {pieces} pieces are too few to learn directions from",
            hint="take a larger data set",
        )
    facts = {
        name: Attribute(*units[name], {level: found.facts for level, found in levels.items()})
        for name, levels in learned.items()
    }
    return Directions(model, facts, *(_rows(codes, learned, part) for part in ("vector", "weights")))


def _units(codes: Codes) -> dict[str, tuple[float, float]]:
    """Attribute → mean and deviation over windows, of those that vary."""
    known = {name: values[np.isfinite(values)] for name, values in codes.levels[GLOBAL].measured.items()}
    moments = {name: (float(values.mean()), float(values.std())) for name, values in known.items() if len(values)}
    return {name: moment for name, moment in moments.items() if moment[1] > SMALLEST_DEVIATION}


class _Learned(NamedTuple):
    facts: Direction
    vector: Floats
    weights: Floats


def _learn(codes: Codes, level: str, name: str, unit: float) -> _Learned | None:
    """None where there is nothing to learn from, or the latents do not say it."""
    latents = codes.levels[level]
    told = Regression.of(latents.mean, latents.measured[name], codes.groups(level))
    if told is None:
        return None
    fit = told.fit()
    x = told.x - told.x.mean(0)
    vector = x.T @ (x @ fit.weights)  # covariance × weights, but for its length
    vector /= max(float(np.linalg.norm(vector)), SMALLEST_DEVIATION)
    weights = fit.weights * told.deviation / unit
    facts = Direction(float(weights @ vector), fit.r2, fit.correlation, told.reference(), len(told.y))
    return _Learned(facts, vector, weights)


def _rows(codes: Codes, learned: Mapping[str, Mapping[str, _Learned]], part: str) -> dict[str, NDArray[np.float32]]:
    """Level → `(A, size)`, zeros where a level says nothing of an attribute."""
    return {
        name: np.stack(
            [
                getattr(levels[name], part)
                if name in levels and levels[name].facts.says_something
                else np.zeros(level.mean.shape[1])
                for levels in learned.values()
            ]
        ).astype(np.float32)
        for name, level in codes.levels.items()
    }

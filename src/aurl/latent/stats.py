"""How much the latents of a model say, what that costs, and whether its prior knows what they are like."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aurl.data.dataset import Rows
from aurl.evaluation.latents import ALL, LatentUse, latent_use
from aurl.generation.load import Loaded
from aurl.latent.codes import open_windows, require_latents, spread
from aurl.latent.stats_gap import discrepancy, normal_gap, told_apart
from aurl.latent.stats_pass import LevelPass, look_at
from aurl.model.latents import Level
from aurl.model.latents.usage import ACTIVE_VARIANCE
from aurl.progress import Progress, Report, silent

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LevelStats:
    """What is known of one level.

    Args:
        name: "global", "local" or "fine".
        size: dimensions.
        tokens: that share a latent; None: all of a window.
        latents: that were looked at.
        active: dimensions whose posterior means have a variance above 0.01 (Burda et al., ICLR 2016).
        kl: nats from the prior, of one latent.
        kl_per_token: nats, of one target.
        variance: of the posterior means, dimension by dimension.
        kl_of_dimensions: nats of each, of one latent; None where the prior is no normal distribution.
        gap_of_dimensions: nats from what the prior expects to the aggregate of all posteriors, of each dimension; None
            where the prior is no normal distribution.
        told_apart: how often a classifier tells latents of music from those of the prior; about 0.5 by chance.
        discrepancy: squared maximum mean discrepancy of the same.
        p_value: of it.
        shuffled_cost: nats per token that are lost when each window is given this level of another one.
    """

    name: str
    size: int
    tokens: int | None
    latents: int
    active: int
    kl: float
    kl_per_token: float
    variance: tuple[float, ...]
    kl_of_dimensions: tuple[float, ...] | None
    gap_of_dimensions: tuple[float, ...] | None
    told_apart: float
    discrepancy: float
    p_value: float
    shuffled_cost: float

    @property
    def gap(self) -> float | None:
        """Nats from what the prior expects to the aggregate of all posteriors, all dimensions together."""
        return None if self.gap_of_dimensions is None else sum(self.gap_of_dimensions)


@dataclass(frozen=True)
class Stats:
    """What is known of the latents of a model; nats per token throughout.

    Args:
        run: name of the run.
        checkpoint: name of its checkpoint.
        split: of the data set.
        windows: that were looked at.
        tokens: targets in them.
        levels: coarse to fine.
        nats: of the targets, given latents drawn from their posteriors.
        mean_nats: given the posteriors' means.
        prior_nats: given latents that the prior made up.
        bound: the negative ELBO.
        shuffled_cost: lost when each window is given the latents of another one, all of them.
        accuracy: share of targets that are the likeliest id, given the posteriors' means.
    """

    run: str
    checkpoint: str
    split: str
    windows: int
    tokens: int
    levels: tuple[LevelStats, ...]
    nats: float
    mean_nats: float
    prior_nats: float
    bound: float
    shuffled_cost: float
    accuracy: float


def latent_stats(
    loaded: Loaded,
    dataset: Path | None = None,
    *,
    split: str = "valid",
    limit: int = 128,
    seed: int = 0,
    report: Report = silent,
) -> Stats:
    """Measure the latents of a model on windows of a split.

    Args:
        loaded: the model.
        dataset: where the data set is now; where the run says that it is by default.
        split: "train", "valid" or "test".
        limit: windows, evenly spread, ≥ 2.
        seed: of all draws.
        report: told after each batch.

    Raises:
        UsageError: the model has no latents, or the data set cannot be used.
        NotFoundError: there is no such data set.
    """
    require_latents(loaded)
    _, windows = open_windows(loaded, dataset, split=split)
    chosen = spread(len(windows), limit)
    size = loaded.profile.data.batch_size
    groups = apart(len(chosen), max(2, size))
    batches = [windows.__getitems__([chosen[place] for place in group]) for group in groups]
    use = latent_use(loaded.model, _telling(batches, report), seed=seed)
    found = look_at(loaded.model, batches, seed=seed, total=len(batches), report=report)
    levels = [_level(level, found.levels[level.name], use, seed=seed) for level in loaded.model.levels]
    told = use.per_token()
    return Stats(
        run=loaded.run.name,
        checkpoint=loaded.checkpoint.name,
        split=split,
        windows=len(chosen),
        tokens=use.tokens,
        levels=tuple(levels),
        nats=told["nats"],
        mean_nats=told["mean_nats"],
        prior_nats=found.prior_nats / max(use.tokens, 1),
        bound=told["bound"],
        shuffled_cost=told[f"lost/{ALL}"],
        accuracy=told["accuracy"],
    )


def apart(count: int, size: int) -> list[list[int]]:
    """Numbers below `count` ≥ 2 in groups of about `size`, two at least, neighbours as far from each other as can be.

    Windows that follow each other are of one piece; given the latents of its neighbour, one would lose little.
    """
    groups = max(1, count // size)
    return [list(range(first, count, groups)) for first in range(groups)]


def _telling(batches: Sequence[Rows], report: Report) -> Iterator[Rows]:
    for number, rows in enumerate(batches):
        report(Progress("likelihood", number, len(batches), "batches"))
        yield rows


def _level(level: Level, found: LevelPass, use: LatentUse, *, seed: int) -> LevelStats:
    mean, drawn, made = (np.concatenate(parts) for parts in (found.mean, found.drawn, found.made))
    window = np.concatenate(found.window)
    variance = mean.var(0)
    apart = discrepancy(drawn, made, window, window, seed=seed)
    return LevelStats(
        name=level.name,
        size=level.size,
        tokens=level.tokens,
        latents=len(mean),
        active=int((variance > ACTIVE_VARIANCE).sum()),
        kl=use.kl[level.name] / max(len(mean), 1),
        kl_per_token=use.kl[level.name] / max(use.tokens, 1),
        variance=_rounded(variance),
        kl_of_dimensions=_rounded(np.concatenate(found.kl).mean(0)) if found.kl else None,
        gap_of_dimensions=_rounded(normal_gap(np.concatenate(found.whitened))) if found.whitened else None,
        told_apart=told_apart(drawn, made, window, window),
        discrepancy=apart.squared,
        p_value=apart.p_value,
        shuffled_cost=use.lost[level.name] / max(use.tokens, 1),
    )


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)

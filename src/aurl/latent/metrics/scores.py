"""All metrics of one level, with intervals, and with what chance would give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from aurl.errors import UsageError
from aurl.latent.codes import Codes
from aurl.latent.metrics.binned import bin_count, binned
from aurl.latent.metrics.dci import Importance, completeness, disentanglement, explained, importance, refit
from aurl.latent.metrics.gaps import attribute_gap, label_gap, mutual_information_gap, shares_of_entropy
from aurl.progress import Progress, Report, silent

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SHIFTS = 2
"""Chance is the mean over so many ways to give latents the factors of others."""
INTERVAL = (5.0, 95.0)
"""Percentiles of an interval: nine in ten."""
FEWEST_ROWS = 20
"""With fewer latents nothing can be said of any factor."""
FEWEST_PIECES = 3
"""A label whose value fewer pieces have is left out: it would name the piece."""
NAMES = ("mig", "sap", "disentanglement", "completeness", "informativeness")
MOST_MISSING = 0.2
"""A number that more latents do not have is left out."""


class Score(NamedTuple):
    """A metric.

    Args:
        value: of all latents.
        low: nine in ten resamples of the pieces are above it.
        high: and below it.
        chance: when each latent is given the factors of one that is far away.
    """

    value: float
    low: float
    high: float
    chance: float


@dataclass(frozen=True)
class FactorScore:
    """One factor.

    Args:
        name: of the factor.
        is_label: it is a word, not a number.
        mig: gap of mutual information between the two codes that tell most of it.
        sap: gap of the variance that they explain, of a label: of the accuracy.
        completeness: 0 to 1.
        explained: share of its variance that all codes explain in held-out pieces.
        code: the one that tells most of it.
        told: share of its entropy that this one tells.
    """

    name: str
    is_label: bool
    mig: float
    sap: float
    completeness: float
    explained: float
    code: int
    told: float


@dataclass(frozen=True)
class LevelMetrics:
    """One level.

    Args:
        name: "global", "local" or "fine".
        size: dimensions.
        latents: that were looked at.
        pieces: that they are of.
        bins: of each factor; codes have twice as many.
        factors: that vary in this music.
        mig, sap, disentanglement, completeness, informativeness: means over factors (disentanglement: over codes).
        importance: (size, factors) which code tells which factor.
    """

    name: str
    size: int
    latents: int
    pieces: int
    bins: int
    factors: tuple[FactorScore, ...]
    mig: Score
    sap: Score
    disentanglement: Score
    completeness: Score
    informativeness: Score
    importance: tuple[tuple[float, ...], ...]


class Table(NamedTuple):
    """Codes and factors, row by row; only rows and factors of which all is known.

    Args:
        codes: (N, D).
        names: of the K factors, numbers first.
        numbers: (N, M) those that are numbers.
        labels: (N, K − M) those that are words, as numbers from 0.
        group: (N,) piece.
    """

    codes: Floats
    names: Sequence[str]
    numbers: Floats
    labels: Ints
    group: Ints

    @classmethod
    def of(cls, codes: Floats, numbers: Mapping[str, Floats], labels: Mapping[str, Sequence[str]], group: Ints) -> Self:
        """Leave out what does not vary, or is unknown for too many."""
        rows = np.ones(len(codes), np.bool_)
        kept, words = {}, {}
        for name, values in numbers.items():
            known = np.isfinite(values)
            if known.mean() >= 1 - MOST_MISSING and np.ptp(values[known]) > 0:
                kept[name], rows = values, rows & known
        for name, named in labels.items():
            value = _numbered(np.array(named, dtype=object), group)
            if len(np.unique(value[value >= 0])) > 1 and (value >= 0).mean() >= 1 - MOST_MISSING:
                words[name], rows = value, rows & (value >= 0)
        names = [*kept, *words]
        return cls(
            codes[rows],
            names,
            np.stack([kept[name][rows] for name in kept], 1) if kept else np.zeros((int(rows.sum()), 0)),
            np.stack([_dense(words[name][rows]) for name in words], 1)
            if words
            else np.zeros((int(rows.sum()), 0), int),
            group[rows],
        )

    def shifted(self, rows: int) -> Self:
        """Each latent with the factors of the one so many rows before it."""
        return self._replace(numbers=np.roll(self.numbers, rows, 0), labels=np.roll(self.labels, rows, 0))

    def take(self, rows: Ints) -> Self:
        """Some rows."""
        return self._replace(
            codes=self.codes[rows], numbers=self.numbers[rows], labels=self.labels[rows], group=self.group[rows]
        )


def _numbered(named: NDArray[np.object_], group: Ints) -> Ints:
    """Words as numbers; −1 for those that are empty, or that too few pieces have."""
    found = np.full(len(named), -1)
    for number, word in enumerate(sorted({word for word in named if word})):
        has = named == word
        if len(np.unique(group[has])) >= FEWEST_PIECES:
            found[has] = number
    return found


def _dense(values: Ints) -> Ints:
    found: Ints = np.unique(values, return_inverse=True)[1]
    return found


class _Found(NamedTuple):
    """What all metrics are for one table; (K,) each but the last."""

    mig: Floats
    sap: Floats
    completeness: Floats
    explained: Floats
    disentanglement: float

    @property
    def means(self) -> Floats:
        """(5,) in the order of `NAMES`."""
        return np.array(
            [
                self.mig.mean(),
                self.sap.mean(),
                self.disentanglement,
                self.completeness.mean(),
                np.maximum(self.explained, 0.0).mean(),
            ]
        )


def level_metrics(codes: Codes, level: str, *, resamples: int, seed: int, report: Report = silent) -> LevelMetrics:
    """All metrics of a level, of the means of its posteriors.

    Args:
        codes: of a model.
        level: one of theirs.
        resamples: of the pieces, for the intervals.
        seed: of the resamples.
        report: told after each of them.

    Raises:
        UsageError: too little is known, or nothing varies.
    """
    own = codes.levels[level]
    table = Table.of(own.mean.astype(np.float64), codes.factors(level), codes.labels(level), codes.groups(level))
    if len(table.codes) < FEWEST_ROWS or not table.names:
        raise UsageError(
            f"the {codes.split} split has {len(table.codes)} {level} latents, and {len(table.names)} factors that vary",
            hint="take more windows (--windows), another --split, or a larger data set",
        )
    bins = bin_count(len(table.codes))
    columns, owner = _columns(table)
    fit = importance(table.codes, columns, owner, table.group)
    found = _metrics(table, fit.weights, explained(fit.errors, columns, owner), bins)
    rng, means = np.random.default_rng(seed), []
    for number in range(resamples):
        rows = _resampled(table.group, rng)
        some, asked = table.take(rows), columns[rows]
        weights = refit(some.codes, asked, owner, fit.penalty)
        means.append(_metrics(some, weights, explained(fit.errors[rows], asked, owner), bins).means)
        report(Progress(f"resample {level}", number + 1, resamples, "resamples"))
    chance = np.mean([_chance(table, rows, owner, fit, bins) for rows in _shifts(len(table.codes))], 0)
    return LevelMetrics(
        name=level,
        size=own.mean.shape[1],
        latents=len(table.codes),
        pieces=len(np.unique(table.group)),
        bins=bins,
        factors=_by_factor(table, found, bins),
        **_scores(found.means, np.array(means).reshape(-1, len(NAMES)), chance),
        importance=tuple(tuple(round(float(one), 6) for one in row) for row in fit.weights),
    )


def _metrics(table: Table, weights: Floats, told: Floats, bins: int) -> _Found:
    codes = binned(table.codes, 2 * bins)
    mig = [mutual_information_gap(codes, factor) for factor in _factors(table, bins)]
    sap = [attribute_gap(table.codes, values) for values in table.numbers.T]
    sap += [label_gap(table.codes, label, table.group, 2 * bins) for label in table.labels.T]
    return _Found(
        np.array(mig),
        np.array(sap),
        completeness(weights),
        told,
        # A factor that cannot be foretold has weights, too, but they say nothing about codes.
        disentanglement(weights * np.maximum(told, 0.0)),
    )


def _factors(table: Table, bins: int) -> list[Ints]:
    numbers = binned(table.numbers, bins).T if table.numbers.shape[1] else ()
    return [*numbers, *table.labels.T]


def _columns(table: Table) -> tuple[Floats, Ints]:
    """What a regression is asked for: numbers as they are, of labels a column for each value; and whose they are."""
    values = [int(label.max()) + 1 for label in table.labels.T]
    known = table.numbers.shape[1]
    ones = [np.eye(count)[label] for count, label in zip(values, table.labels.T, strict=True)]
    owner = np.concatenate([np.arange(known), np.repeat(np.arange(len(values)) + known, values)]).astype(np.int64)
    return np.concatenate([table.numbers, *ones], 1), owner


def _resampled(group: Ints, rng: np.random.Generator) -> Ints:
    """Rows of as many pieces as there are, drawn with repetition."""
    pieces = np.unique(group)
    return np.concatenate([np.flatnonzero(group == piece) for piece in rng.choice(pieces, len(pieces))])


def _shifts(rows: int) -> list[int]:
    return [rows * (number + 1) // (SHIFTS + 1) for number in range(SHIFTS)]


def _chance(table: Table, rows: int, owner: Ints, fit: Importance, bins: int) -> Floats:
    """With factors that are not those of the latents; sparse where the real ones are, or one weight would be all."""
    other = table.shifted(rows)
    columns, _ = _columns(other)
    told = explained(fit.errors, _columns(table)[0], owner)
    found = _metrics(other, refit(other.codes, columns, owner, fit.penalty), told, bins)
    errors = importance(other.codes, columns, owner, other.group).errors
    return found._replace(explained=explained(errors, columns, owner)).means


def _scores(values: Floats, resampled: Floats, chance: Floats) -> dict[str, Score]:
    """Intervals around the values themselves: resamples repeat pieces, and score a little higher by that alone."""
    low = high = values
    if len(resampled):
        low, high = np.clip(np.percentile(resampled, INTERVAL, axis=0) - resampled.mean(0) + values, 0, 1)
    columns = (values.tolist(), low.tolist(), high.tolist(), chance.tolist())
    return {name: Score(*row) for name, *row in zip(NAMES, *columns, strict=True)}


def _by_factor(table: Table, found: _Found, bins: int) -> tuple[FactorScore, ...]:
    codes, scores = binned(table.codes, 2 * bins), []
    for place, factor in enumerate(_factors(table, bins)):
        told = shares_of_entropy(codes, factor)
        scores.append(
            FactorScore(
                name=table.names[place],
                is_label=place >= table.numbers.shape[1],
                mig=round(float(found.mig[place]), 6),
                sap=round(float(found.sap[place]), 6),
                completeness=round(float(found.completeness[place]), 6),
                explained=round(float(found.explained[place]), 6),
                code=int(told.argmax()),
                told=round(float(told.max()), 6),
            )
        )
    return tuple(scores)

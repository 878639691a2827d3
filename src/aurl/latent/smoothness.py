"""How evenly music changes on the way from one song to another."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aurl.latent.factors import Floats, factors_of, read_played
from aurl.midi.score import Score
from aurl.tokens.codec import Codec

LEAST_CHANGE = 0.5
"""Deviations by which the ends must differ for there to be a way between them."""
TOLERANCE = 0.1
"""Share of the difference between the ends by which a single step may go back."""
LEAST_RANK = 0.9
"""Rank correlation with the place from which on a way counts as monotone although single steps go back further."""


@dataclass(frozen=True)
class Course:
    """How one attribute goes from end to end.

    Args:
        change: from the first to the last, in deviations.
        rank: Spearman's correlation of the attribute with the place, towards the last end: 1 is always that way.
        is_monotone: no step goes back further than `TOLERANCE` of the change, or `rank` is `LEAST_RANK` or more.
    """

    change: float
    rank: float
    is_monotone: bool


@dataclass(frozen=True)
class Smoothness:
    """Of one way.

    Args:
        courses: of the attributes in which the ends differ by `LEAST_CHANGE` or more.
        detour: length of the way through all attributes, in deviations, over the distance of its ends: 1 is straight;
            NaN where they are the same.
    """

    courses: Mapping[str, Course]
    detour: float


def heard(score: Score, codec: Codec) -> dict[str, float]:
    """Every factor of a whole piece; NaN where it has nothing to measure."""
    ids = codec.encode(score).ids.astype(np.int64)
    return {
        name: float(value[0])
        for name, value in factors_of(read_played(ids, 0), 1, None, time_base=codec.time_base).items()
    }


def averaged(pieces: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each factor over several pieces, NaN where one of them is."""
    found = list(pieces)
    return {name: float(np.mean([piece[name] for piece in found])) for name in found[0]}


def smoothness(way: Sequence[Mapping[str, float]], deviations: Mapping[str, float]) -> Smoothness:
    """How evenly these factors change from the first piece to the last.

    Args:
        way: factors of each piece, at even places, see `heard`; those that are NaN somewhere are left out.
        deviations: factor → its deviation over music, in which differences are counted; others are left out.
    """
    columns = {
        name: np.array([piece[name] for piece in way]) / deviation
        for name, deviation in deviations.items()
        if deviation > 0
    }
    known = {name: column for name, column in columns.items() if np.isfinite(column).all()}
    courses = {name: _course(column) for name, column in known.items() if abs(column[-1] - column[0]) >= LEAST_CHANGE}
    return Smoothness(courses, _detour(np.stack(list(known.values()), 1)) if known else float("nan"))


def monotone_share(ways: Iterable[Smoothness]) -> dict[str, float]:
    """Attribute → share of the ways on which it changes that are monotone; NaN would be none, so it is left out."""
    found: dict[str, list[bool]] = {}
    for way in ways:
        for name, course in way.courses.items():
            found.setdefault(name, []).append(course.is_monotone)
    return {name: float(np.mean(each)) for name, each in found.items()}


def _course(values: Floats) -> Course:
    change = float(values[-1] - values[0])
    onward = values * np.sign(change)
    rank = float(np.corrcoef(_ranks(onward), np.arange(len(onward)))[0, 1])
    falls = np.diff(onward) < -TOLERANCE * abs(change)
    return Course(change, rank, bool(not falls.any() or rank >= LEAST_RANK))


def _ranks(values: Floats) -> Floats:
    """From 0; equal values share the mean of theirs."""
    below, equal = (values[:, None] > values).sum(1), (values[:, None] == values).sum(1)
    ranks: Floats = below + (equal - 1) / 2
    return ranks


def _detour(points: Floats) -> float:
    """`(steps, attributes)` → way over distance."""
    way = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
    distance = float(np.linalg.norm(points[-1] - points[0]))
    return way / distance if distance else float("nan")

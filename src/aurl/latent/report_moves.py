"""What music does along directions of the latents, and between songs, as tables and in words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aurl.generation.directions import Directions
from aurl.latent.codes import Codes
from aurl.latent.factors import FACTORS
from aurl.latent.smoothness import Smoothness, heard, smoothness
from aurl.midi.score import Score
from aurl.model.latents.levels import GLOBAL
from aurl.tokens.codec import Codec

CLEAR_RANK = 0.8
"""Rank correlation with the place from which on an attribute follows it."""
WINDING = 3.0
"""A way so many times as long as the distance of its ends is no way between them."""


@dataclass(frozen=True)
class Move:
    """Pieces that differ by one thing.

    Args:
        name: what changes, such as "local 12".
        steps: of each piece, how far.
        heard: factor → value, of each piece.
        smooth: how evenly they change.
    """

    name: str
    steps: tuple[float, ...]
    heard: tuple[Mapping[str, float], ...]
    smooth: Smoothness


def deviations(codes: Codes) -> dict[str, float]:
    """Factor → its deviation over windows, in which changes are counted."""
    measured = codes.levels[GLOBAL].measured
    return {name: float(np.nanstd(values)) for name, values in measured.items() if np.isfinite(values).any()}


def move(
    name: str, steps: Sequence[float], scores: Sequence[Score], *, codec: Codec, units: Mapping[str, float]
) -> Move:
    """Measure the pieces of a move."""
    factors = tuple(heard(score, codec) for score in scores)
    return Move(name, tuple(steps), factors, smoothness(factors, units))


def moves_table(moves: Sequence[Move], *, step: str) -> dict[str, list[Any]]:
    """A row for each piece; None where there is nothing to measure.

    Args:
        moves: one after the other.
        step: what steps are called.
    """
    rows = [
        [one.name, round(place, 3), *(_known(factors[name]) for name in FACTORS)]
        for one in moves
        for place, factors in zip(one.steps, one.heard, strict=True)
    ]
    return {"head": ["", step, *FACTORS], "rows": rows}


def _known(value: float) -> float | None:
    return round(value, 3) if np.isfinite(value) else None


def remarks_on_traversal(moves: Sequence[Move]) -> tuple[str, ...]:
    """What each direction does most clearly."""
    return tuple(map(_on_traversal, moves))


def _on_traversal(one: Move) -> str:
    clear = {name: course for name, course in one.smooth.courses.items() if course.rank >= CLEAR_RANK}
    if not clear:
        return f"{one.name}: nothing that is measured follows it; see aurl inspect-latent stats whether anybody listens"
    name = max(clear, key=lambda name: abs(clear[name].change))
    first, last = one.heard[0][name], one.heard[-1][name]
    others = [other for other in clear if other != name]
    also = f"; with it {', '.join(others)}" if others else ""
    return f"{one.name}: {name} goes from {first:.3g} to {last:.3g} ({clear[name].change:+.1f} deviations){also}"


def remarks_on_interpolation(one: Move) -> tuple[str, ...]:
    """How even the way is."""
    return tuple(_on_interpolation(one))


def _on_interpolation(one: Move) -> Iterator[str]:
    courses = one.smooth.courses
    if not courses:
        yield "both ends are alike in all that is measured; take songs that differ more"
        return
    even = [name for name, course in courses.items() if course.is_monotone]
    yield f"{len(even)} of {len(courses)} attributes that differ change evenly on the way: {', '.join(even) or '–'}"
    uneven = [name for name in courses if name not in even]
    if uneven:
        yield (
            f"{', '.join(uneven)} go back and forth: what latents leave open is decided anew at each place;"
            " fewer --steps are evener"
        )
    if one.smooth.detour > WINDING:
        yield f"the way is {one.smooth.detour:.1f} times as long as the distance of its ends"


def attributes_table(directions: Directions) -> dict[str, list[Any]]:
    """A row for each attribute: its unit, and how well each level foretells it in pieces not seen before."""
    levels = list(directions.vectors)
    rows = []
    for name, facts in directions.facts.items():
        row: list[Any] = [name, round(facts.mean, 3), round(facts.deviation, 3)]
        for level in levels:
            known = facts.levels.get(level)
            row += [None, None] if known is None else [round(known.correlation, 3), round(known.r2, 3)]
        rows.append([*row, "yes" if facts.says_something else "no"])
    heads = [head for level in levels for head in (f"{level}: correlation", f"{level}: R²")]
    return {"head": ["attribute", "mean", "deviation", *heads, "usable"], "rows": rows}


def remarks_on_attributes(directions: Directions) -> tuple[str, ...]:
    """Which of them can be asked for."""
    usable = [name for name, facts in directions.facts.items() if facts.says_something]
    silent = [name for name in directions.facts if name not in usable]
    told = [f"go along them: aurl generate --more {usable[0]}=+1.5"] if usable else []
    if silent:
        told.append(
            f"latents say next to nothing of {', '.join(silent)}: no direction leads there; tell models of them in the "
            f"header instead"
        )
    return tuple(told)

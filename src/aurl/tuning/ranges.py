"""What may be tried for a key: numbers between two bounds, or one of several values.

1e-4:1e-2        between the two; whole numbers where the key is one
log:1e-4:1e-2    the same, each order of magnitude alike
log:1e-4:1e-2:5  five of them, for a grid
cosine|constant  one of these; in a file an array
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aurl.errors import UsageError
from aurl.profile.toml import parse_value

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"(log:)?({_NUMBER}):({_NUMBER})(?::(\d+))?")
_WHOLE = re.compile(r"[+-]?\d+")
MAX_GRID_INTEGERS = 64
"""Whole numbers that a grid takes one by one; of more it must be told how many."""
EXAMPLES = "for example log:1e-4:1e-2, 0:0.3, or a|b"


@dataclass(frozen=True)
class Range:
    """Numbers between two bounds.

    Args:
        low: the smallest.
        high: the largest.
        is_whole: only whole numbers.
        log: each order of magnitude alike.
        count: points of a grid; None where none was told.
    """

    low: float
    high: float
    is_whole: bool
    log: bool
    count: int | None

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that all others lie between."""
        return self.low, self.high

    def grid(self) -> tuple[Any, ...]:
        """Its points, from the lowest to the highest; none where it is not known how many there are to be."""
        count = self.count
        if count is None:
            size = int(self.high - self.low) + 1
            if not self.is_whole or self.log or size > MAX_GRID_INTEGERS:
                return ()
            count = size
        shares = [number / max(1, count - 1) for number in range(count)]
        if self.log:
            first, last = math.log(self.low), math.log(self.high)
            points = [math.exp(first + share * (last - first)) for share in shares]
        else:
            points = [self.low + share * (self.high - self.low) for share in shares]
        points = [*points[:-1], self.high] if count > 1 else points  # not the exponential of a logarithm
        found = [round(point) for point in points] if self.is_whole else points
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Choices:
    """One of several values.

    Args:
        values: as a profile has them.
    """

    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """All of them."""
        return self.values

    def grid(self) -> tuple[Any, ...]:
        """All of them."""
        return self.values


Search = Range | Choices


def parse_search(given: Any, *, is_fraction: bool) -> Search:
    """What may be tried, from text or an array.

    Args:
        given: a text like those above, or an array of values.
        is_fraction: the key's value is no whole number, though its bounds may be.

    Raises:
        UsageError: it says nothing that could be tried.
    """
    if isinstance(given, str):
        found = _RANGE.fullmatch(given.strip())
        return (
            _choices([parse_value(part.strip()) for part in given.split("|")])
            if found is None
            else _range(found, is_fraction=is_fraction)
        )
    if isinstance(given, Sequence):
        return _choices(given)
    raise UsageError(f"{given!r} is neither a range nor an array of values", hint=EXAMPLES)


def _range(found: re.Match[str], *, is_fraction: bool) -> Range:
    log, low, high, count = found.groups()
    is_whole = not is_fraction and all(_WHOLE.fullmatch(bound) for bound in (low, high))
    first, last = (int(low), int(high)) if is_whole else (float(low), float(high))
    if not first < last:
        raise UsageError(f"{found[0]!r} has a lower bound that is not below the upper one", hint=EXAMPLES)
    if log and first <= 0:
        raise UsageError(f"{found[0]!r} has a logarithm only above 0", hint=EXAMPLES)
    if count is not None and int(count) < 2:
        raise UsageError(f"{found[0]!r} is a grid of fewer than two points", hint=EXAMPLES)
    return Range(first, last, is_whole, log is not None, None if count is None else int(count))


def _choices(values: Sequence[Any]) -> Choices:
    if len(values) < 2:
        raise UsageError(f"{values[0] if values else ''!r} leaves no choice", hint=EXAMPLES)
    if any(values.count(value) > 1 for value in values):
        raise UsageError("a value is named twice", hint=EXAMPLES)
    return Choices(tuple(values))

"""What curves are drawn of: every number of a run, in few points however long it was trained."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aurl.page import Point
from aurl.training.log import read_metrics

POINTS = 128
"""A trace has from as many to twice as many points once it has had so many values: more than a chart can show."""
STEP = "step"


def is_number(value: object) -> bool:
    """Whether a record's value can be drawn and compared: not a truth value, and finite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value - value == 0


class Trace:
    """Values of one name over a growing `x`; where they become too many, neighbours become one point."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._together = 1
        """Values in each point but the last."""
        self._in_last = 1

    def add(self, x: float, y: float) -> None:
        """Take the next value."""
        if self._points and self._in_last < self._together:
            self._points[-1] = _joined(self._points[-1], Point(x, y, y, y), self._in_last, 1)
            self._in_last += 1
            return
        if len(self._points) == 2 * POINTS:
            pairs = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [_joined(first, second, 1, 1) for first, second in pairs]
            self._together *= 2
        self._points.append(Point(x, y, y, y))
        self._in_last = 1

    @property
    def points(self) -> list[Point]:
        """From left to right."""
        return self._points


def _joined(first: Point, second: Point, before: int, more: int) -> Point:
    """Both as one, each with its weight; it stands where the later one does."""
    share = more / (before + more)
    mean = first.y + share * (second.y - first.y)
    return Point(second.x, mean, min(first.low, second.low), max(first.high, second.high))


class Traces:
    """All numbers of a run.

    Attributes:
        newest: name → (step, value) that came last.

    Args:
        by: the number that goes to the right: the step, or a name in the records such as "tokens". Records that lack
            it, as those of validations do, stand where the one before them does.
    """

    def __init__(self, by: str = STEP) -> None:
        self.newest: dict[str, tuple[int, float]] = {}
        self._by, self._x = by, 0.0
        self._traces: dict[str, Trace] = {}

    @classmethod
    def of(cls, records: Iterable[Mapping[str, Any]], by: str = STEP) -> "Traces":
        """Those of whole records, in order."""
        traces = cls(by)
        for record in records:
            traces.add(record[STEP], record)
        return traces

    @classmethod
    def read(cls, path: Path, by: str = STEP) -> "Traces":
        """Those of a `metrics.jsonl`."""
        return cls.of(read_metrics(path), by)

    def add(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Take one record; what is no finite number is left out."""
        x = step if self._by == STEP else metrics.get(self._by, self._x)
        self._x = float(x) if is_number(x) else self._x
        for name, value in metrics.items():
            if name != STEP and is_number(value):
                self._traces.setdefault(name, Trace()).add(self._x, float(value))
                self.newest[name] = step, value

    @property
    def names(self) -> list[str]:
        """In the order in which they came."""
        return list(self._traces)

    @property
    def span(self) -> tuple[float, float]:
        """From the first value of all to the last one."""
        first = min((trace.points[0].x for trace in self._traces.values()), default=0.0)
        return first, self._x

    def points(self, name: str) -> list[Point]:
        """The points of `name`, none where there are no such numbers."""
        return self._traces[name].points if name in self._traces else []

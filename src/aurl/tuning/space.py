"""The keys that are searched, and the profiles that their values make.

An option of a component counts only with kinds that have it: where `training.optimizer.kind` is searched, too,
`training.optimizer.momentum` is tried with muon alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any, Protocol

from aurl.errors import UsageError
from aurl.profile import Fault, Profile, ProfileError, overlay
from aurl.profile.components import marker_of
from aurl.profile.load import section_types
from aurl.profile.sections import ComponentOf
from aurl.profile.toml import format_value
from aurl.registry import find_registry
from aurl.tuning.ranges import Choices, Range, Search, parse_search

ORIGIN = "--search"
KIND = "kind"
SETTLED = ("prepare", "tokens")
"""Sections that a data set has settled."""
MAX_COMPANY = 32
"""Combinations of other keys' values that a value is tried with before it is called impossible."""


class Suggests(Protocol):
    """What is asked for values: an Optuna trial."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number between the bounds."""
        ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """A whole number between the bounds."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> Any:
        """One of the choices."""
        ...


@dataclass(frozen=True)
class Space:
    """What is searched.

    Args:
        base: profile of what is not searched.
        searches: dotted key → what may be tried for it.
    """

    base: Profile
    searches: Mapping[str, Search]

    @classmethod
    def of(cls, base: Profile, given: Mapping[str, Any], *, is_grid: bool) -> "Space":
        """A space in which every single value is possible.

        Args:
            base: profile of what is not searched.
            given: dotted key → text or array.
            is_grid: all combinations are to be tried.

        Raises:
            ProfileError: every fault at once.
        """
        faults, searches = [], {}
        if not given:
            faults.append(Fault("", "nothing is searched", suggestion="for example --search training.lr=log:1e-4:1e-2"))
        for key, value in sorted(given.items(), key=lambda item: not item[0].endswith(f".{KIND}")):
            try:
                searches[key] = parse_search(value, is_fraction=isinstance(_current(base, key), float))
            except UsageError as error:
                faults.append(Fault(key, error.message, ORIGIN, error.hint))
        space = cls(base, searches)
        faults += [fault for key in searches for fault in space.faults_of(key, is_grid=is_grid)]
        if faults:
            raise ProfileError(list(dict.fromkeys(faults)))
        return space

    def faults_of(self, key: str, *, is_grid: bool) -> Iterator[Fault]:
        """What is wrong with a key that is searched."""
        search = self.searches[key]
        if key.partition(".")[0] in SETTLED:
            yield Fault(key, "was settled when the data set was prepared", ORIGIN)
            return
        if isinstance(search, Range) and is_grid and not search.grid():
            yield Fault(key, "needs a number of points for a grid", ORIGIN, "for example log:1e-4:1e-2:5")
        if isinstance(search, Range) and not is_grid and search.count is not None:
            yield Fault(key, "has a number of points, which is for method grid", ORIGIN)
        for value in search.ends:
            yield from self._faults_of_value(key, value)

    def _faults_of_value(self, key: str, value: Any) -> Sequence[Fault]:
        """What is wrong with a value in whatever company; nothing where there is a company that it suits."""
        others = {other: search.ends for other, search in self.searches.items() if other != key}
        companies = (dict(zip(others, values, strict=True)) for values in product(*others.values()))
        first: Sequence[Fault] = ()
        for company in ({}, *islice(companies, MAX_COMPANY)):
            values = company | {key: value}
            try:
                self.profile({name: values[name] for name in values if self.applies(name, values) or name == key})
            except ProfileError as error:
                first = first or [fault for fault in error.faults if _is_about(fault, key)] or error.faults
            else:
                return ()
        return first

    def applies(self, key: str, values: Mapping[str, Any]) -> bool:
        """Whether `key` means anything beside `values`, in which kinds are settled already."""
        component, _, option = key.rpartition(".")
        if option == KIND or f"{component}.{KIND}" not in values:
            return True
        section, _, field = component.partition(".")
        mark = marker_of(section_types()[section], field)
        if not isinstance(mark, ComponentOf):
            return True
        registry, kind = find_registry(mark.registry), values[f"{component}.{KIND}"]
        return kind not in registry.kinds() or option in [known.name for known in registry.options(kind)]

    def profile(self, values: Mapping[str, Any]) -> Profile:
        """The profile that `values` make.

        Raises:
            ProfileError: they do not go together.
        """
        return overlay(self.base, values, ORIGIN)

    def suggest(self, trial: Suggests) -> dict[str, Any]:
        """Values that a trial suggests, key by key."""
        values: dict[str, Any] = {}
        for key, search in self.searches.items():
            if self.applies(key, values):
                values[key] = _suggest(trial, key, search)
        return values

    def grid(self) -> list[dict[str, Any]]:
        """Every combination once, as an Optuna trial keeps its values."""
        points: list[dict[str, Any]] = [{}]
        for key, search in self.searches.items():
            points = [
                point | ({key: value} if self.applies(key, point) else {})
                for point in points
                for value in (search.grid() if self.applies(key, point) else (None,))
            ]
        return [{key: _kept(self.searches[key], value) for key, value in point.items()} for point in points]

    def values(self, kept: Mapping[str, Any]) -> dict[str, Any]:
        """Values as a profile has them, from those that an Optuna trial keeps."""
        return {key: _unkept(self.searches[key], value) for key, value in kept.items()}


def _current(base: Profile, key: str) -> Any:
    """The value that a key has now, as far as it is there."""
    value: Any = base.model_dump(mode="json")
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _is_about(fault: Fault, key: str) -> bool:
    return fault.key == key or fault.key.startswith(f"{key}.")


def _suggest(trial: Suggests, key: str, search: Search) -> Any:
    if isinstance(search, Choices):
        return _unkept(search, trial.suggest_categorical(key, [format_value(value) for value in search.values]))
    if search.is_whole:
        return trial.suggest_int(key, int(search.low), int(search.high), log=search.log)
    return trial.suggest_float(key, search.low, search.high, log=search.log)


def _kept(search: Search, value: Any) -> Any:
    """Optuna knows choices of plain values only: they are kept as text."""
    return format_value(value) if isinstance(search, Choices) else value


def _unkept(search: Search, value: Any) -> Any:
    if isinstance(search, Range):
        return value
    return next(choice for choice in search.values if format_value(choice) == value)

"""How runs differ: in their profiles, and in their numbers at equal steps, after as many tokens, and at their best."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aurl import page
from aurl.errors import UsageError
from aurl.page import Line, Section
from aurl.training.groups import charts
from aurl.training.log import read_metrics
from aurl.training.runs import RunSummary, read_profile_or_nothing, summarise
from aurl.training.traces import STEP, Traces, is_number

TOKENS = "tokens"
BY = {"steps": STEP, "tokens": TOKENS, "seconds": "seconds"}
"""What curves can be drawn over, and its name in the records."""
Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class View:
    """The numbers of all runs, taken at moments that can be compared.

    Args:
        title: which moments.
        steps: of each run, 0 where there is no such moment.
        values: name → the value of each run, None where it has none.
    """

    title: str
    steps: tuple[int, ...]
    values: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How some runs differ.

    Args:
        runs: in the order in which they were named.
        profile: keys in which they differ → the value of each, None where one lacks the key.
        views: at equal steps, after equal tokens, at the best of each.
    """

    runs: tuple[RunSummary, ...]
    profile: Mapping[str, tuple[Any, ...]]
    views: tuple[View, ...]


def compare(folders: Sequence[Path]) -> Comparison:
    """Compare runs.

    Raises:
        UsageError: there are less than two, or one of them twice.
    """
    if len(set(folders)) < 2 or len(set(folders)) < len(folders):
        raise UsageError("a comparison needs two different runs or more", hint="name them: aurl runs compare RUN RUN")
    runs = tuple(summarise(folder) for folder in folders)
    records = [read_metrics(folder / "metrics.jsonl") for folder in folders]
    step = min(_last(one, STEP) for one in records)
    tokens = min(_last(one, TOKENS) for one in records)
    views = (
        _view(f"at step {step:,}", records, [step] * len(runs)),
        _view(f"after {tokens:,} tokens", records, [_step_with(one, tokens) for one in records]),
        _view("at the best of each", records, [run.best_step for run in runs]),
    )
    return Comparison(runs, differences([read_profile_or_nothing(folder) for folder in folders]), views)


def differences(profiles: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Keys whose values are not all the same; a profile that could not be read is empty, and says nothing."""
    read = [number for number, profile in enumerate(profiles) if profile]
    keys = dict.fromkeys(key for profile in profiles for key in profile)
    values = {key: tuple(profile.get(key) for profile in profiles) for key in keys}
    return {key: found for key, found in values.items() if any(found[number] != found[read[0]] for number in read)}


def comparison_page(comparison: Comparison, folders: Sequence[Path], *, by: str = "steps") -> str:
    """A page with the curves of all runs over each other.

    Args:
        comparison: of the runs.
        folders: of the same runs.
        by: a key of `BY`.
    """
    traces = [Traces.read(folder / "metrics.jsonl", BY[by]) for folder in folders]
    named = list(zip((run.name for run in comparison.runs), traces, strict=True))
    names = dict.fromkeys(name for _, one in named for name in one.names)
    head = ("", *(run.name for run in comparison.runs))
    sections = [
        Section("Runs", page.table(head, _facts(comparison.runs))),
        Section("Profiles", _table(head, _texts(comparison.profile)), "Where they differ."),
        *(Section(title, page.charts(_figures(group, named))) for title, group in charts(names)),
        *(Section(f"Numbers {view.title}", _table(head, _figures_of(view))) for view in comparison.views),
    ]
    title = " · ".join(run.name for run in comparison.runs)
    kept = [section for section in sections if section.body]
    return page.page(title, kept, subtitle=f"curves over {by}", style=page.STYLE, script=page.SCRIPT)


def _figures(group: Iterable[Sequence[str]], named: Sequence[tuple[str, Traces]]) -> list[str]:
    """One chart for each number: the colours are the runs'."""
    return [
        page.curves(
            [Line(run, traces.points(name), colour) for colour, (run, traces) in enumerate(named)],
            span=(min(one.span[0] for _, one in named), max(one.span[1] for _, one in named)),
            title=name,
        )
        for names in group
        for name in names
    ]


def _facts(runs: Sequence[RunSummary]) -> list[tuple[object, ...]]:
    rows = [
        ("status", [run.status for run in runs]),
        ("step", [f"{run.step:,}" for run in runs]),
        ("best", ["–" if run.best is None else f"{run.criterion} {page.short(run.best)}" for run in runs]),
        ("fault", [run.fault for run in runs]),
    ]
    return [(name, *values) for name, values in rows if any(values)]


def _texts(values: Mapping[str, tuple[Any, ...]]) -> list[tuple[object, ...]]:
    return [(key, *("–" if value is None else str(value) for value in found)) for key, found in values.items()]


def _figures_of(view: View) -> list[tuple[object, ...]]:
    shown = [
        (name, *("–" if value is None else page.short(value) for value in values))
        for name, values in view.values.items()
    ]
    return [("step", *(f"{step:,}" for step in view.steps)), *shown] if shown else []


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return page.table(head, rows) if rows else ""


def _view(title: str, records: Sequence[Records], steps: Sequence[int]) -> View:
    found = [_values_at(one, step) for one, step in zip(records, steps, strict=True)]
    names = dict.fromkeys(name for values in found for name in values)
    return View(title, tuple(steps), {name: tuple(values.get(name) for values in found) for name in names})


def _values_at(records: Records, step: int) -> dict[str, float]:
    """The newest value of each name that was there at `step`."""
    values: dict[str, float] = {}
    for record in records:
        if record[STEP] <= step:
            values |= {name: value for name, value in record.items() if name != STEP and is_number(value)}
    return values


def _last(records: Records, name: str) -> int:
    return max((int(record[name]) for record in records if is_number(record.get(name))), default=0)


def _step_with(records: Records, tokens: int) -> int:
    """The last step after which no more than `tokens` were learned."""
    steps = [record[STEP] for record in records if is_number(record.get(TOKENS)) and record[TOKENS] <= tokens]
    return max(steps, default=0)

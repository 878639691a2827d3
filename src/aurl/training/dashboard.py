"""The dashboard of a run: one page with its curves, events, samples and settings, `RUN/dashboard.html`."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import tomli

from aurl import page
from aurl.page import Line, Mark, Section
from aurl.profile import Profile
from aurl.storage import write_bytes
from aurl.training.events import ALARM, DIVERGED, ROLLBACK, SPIKE, SWITCHED_OFF
from aurl.training.groups import charts, colour_of
from aurl.training.rolls import roll
from aurl.training.run import Run
from aurl.training.runs import RunDetails, describe_run, flat
from aurl.training.traces import Traces

logger = logging.getLogger(__name__)
NAME = "dashboard.html"
SECONDS_BETWEEN = 5.0
"""A page that takes tens of milliseconds takes less than a hundredth of the training."""
SHOWN_MARKS, SHOWN_EVENTS, SHOWN_SAMPLES = 40, 30, 12
"""The newest ones."""
BAD = frozenset({ALARM, SPIKE, DIVERGED, ROLLBACK, SWITCHED_OFF})
"""Kinds of events that are drawn as warnings."""
MEBIBYTE = 2**20
VALID = "valid/"
STYLE = """
.roll { background: var(--card); border: 1px solid var(--line); border-radius: .4rem; } .roll path { stroke: var(--c); }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .8rem; }
.samples a { color: inherit; } .advice { border-left: .25rem solid var(--bad); padding: .3rem .9rem; margin: .5rem 0;
  background: var(--card); } .advice b { display: block; }
summary { cursor: pointer; color: var(--soft); margin: .6rem 0; }
h2 { border-top: 1px solid var(--line); padding-top: 1rem; }
"""


class Dashboard:
    """Keeps `dashboard.html` of a run that is being trained as it stands; only the main process makes one.

    It is written again at validations and checkpoints, but not all the time where these are close together.

    Args:
        run: whose page it is.
        path: of the page; in the run's folder by default.
    """

    def __init__(self, run: Run, path: Path | None = None) -> None:
        self._run, self._path = run, path or run.folder / NAME
        self._traces = Traces.read(run.metrics)
        self._rolls: dict[str, str] = {}
        self._drawn = -math.inf

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Take one record of `step`; a validation is shown at once."""
        self._traces.add(step, metrics)
        if any(name.startswith(VALID) for name in metrics):
            self.sync()

    def sync(self) -> None:
        """Show how it stands, unless that has just been done."""
        if time.monotonic() - self._drawn >= SECONDS_BETWEEN:
            self.draw()
            self._drawn = time.monotonic()

    def draw(self) -> None:
        """Write the page, atomically but not waiting for the disk: it can be made again."""
        details = describe_run(self._run.folder, self._traces)
        for sample in details.samples[-SHOWN_SAMPLES:]:
            if sample.name not in self._rolls:
                self._rolls[sample.name] = roll(sample)
        nearby = self._path.parent == self._run.folder
        samples = "samples/" if nearby else f"{self._run.samples.absolute().as_uri()}/"
        content = dashboard(details, self._traces, self._rolls, samples=samples)
        write_bytes(self._path, content.encode(errors="backslashreplace"), durable=False)


def leave_dashboard(run: Run) -> None:
    """Write the page of a sitting that has ended; whether that works is not worth an error."""
    try:
        Dashboard(run).draw()
    except Exception:
        logger.exception("no dashboard of %s", run.folder.name)


def write_dashboard(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a run, whether it is being trained or not.

    Args:
        folder: of the run.
        out: where to; None for the run's own.

    Returns:
        Where it is.
    """
    run = Run(folder)
    path = run.folder / NAME if out is None else out.expanduser().absolute()
    Dashboard(run, path).draw()
    return path


def dashboard(details: RunDetails, traces: Traces, rolls: Mapping[str, str], *, samples: str = "samples/") -> str:
    """The page.

    Args:
        details: of the run.
        traces: its numbers.
        rolls: file name of a sample → its piano roll.
        samples: where the links to samples lead, relative to the page.
    """
    run = details.summary
    marks = [_mark(event) for event in details.events[-SHOWN_MARKS:]]
    sections = [
        Section("Standing", page.cards(_standing(details))),
        Section("Advice", _advice(details.advice), "What the run's own watch finds wrong with it now."),
        *(Section(title, _charts(names, traces, marks)) for title, names in charts(traces.names)),
        Section("Events", _events(details.events)),
        Section("Samples", _samples(details.samples, rolls, samples), "The newest pieces that it has written."),
        Section("Checkpoints", _checkpoints(details)),
        Section("Profile", _profile(details.profile), "What differs from the defaults."),
    ]
    told = [run.status, run.mode, *(str(details.facts[key]) for key in ("reason", "error") if details.facts.get(key))]
    facts = " · ".join(part for part in (*told, f"started {run.created}", run.fault) if part)
    kept = [section for section in sections if section.body]
    return page.page(run.name, kept, subtitle=facts, style=page.STYLE + STYLE, script=page.SCRIPT)


def _standing(details: RunDetails) -> dict[str, object]:
    run, newest = details.summary, details.newest
    facts: dict[str, object] = {"step": run.step}
    for name in (run.criterion, "train/nats_per_token", "tokens", "tokens_per_second", "memory_mib"):
        if name in newest:
            facts[name] = page.short(newest[name])
    if run.best is not None:
        facts[f"best {run.criterion}, at step {run.best_step:,}"] = page.short(run.best)
    if isinstance(details.facts.get("parameters"), int):
        facts["parameters"] = details.facts["parameters"]
    if "seconds" in newest:
        facts["minutes"] = newest["seconds"] / 60
    return facts | {"MiB on the disk": run.bytes / MEBIBYTE}


def _charts(charts_of: Sequence[Sequence[str]], traces: Traces, marks: Sequence[Mark]) -> str:
    return page.charts(
        [
            page.curves(
                [Line(name, traces.points(name), colour_of(name, names)) for name in names],
                marks=marks,
                span=traces.span,
            )
            for names in charts_of
        ]
    )


def _mark(event: Mapping[str, Any]) -> Mark:
    return Mark(event["step"], f"{event['kind']}: {event.get('message', '')}", bad=_is_bad(event))


def _is_bad(event: Mapping[str, Any]) -> bool:
    return event["kind"] in BAD and event.get("on") is not False


def _advice(alarms: Sequence[Mapping[str, Any]]) -> str:
    return "".join(
        f'<div class="advice"><b>{page.text(event.get("message", ""))}</b>{page.text(event.get("advice", ""))}</div>'
        for event in alarms
    )


def _events(events: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (event["step"], event["kind"], event.get("message", ""), event.get("time", ""))
        for event in reversed(events[-SHOWN_EVENTS:])
    ]
    return page.table(("step", "kind", "what happened", "when"), rows) if rows else ""


def _samples(paths: Sequence[Path], rolls: Mapping[str, str], folder: str) -> str:
    shown = [
        f'<a href="{page.text(folder + quote(path.name))}">{rolls.get(path.name, "")}{page.text(path.name)}</a>'
        for path in reversed(paths[-SHOWN_SAMPLES:])
    ]
    return f'<div class="samples">{"".join(shown)}</div>' if shown else ""


def _checkpoints(details: RunDetails) -> str:
    rows = [(kept.name, kept.bytes / MEBIBYTE, ", ".join(kept.pointers)) for kept in details.checkpoints]
    return page.table(("checkpoint", "MiB", ""), rows) if rows else ""


@cache
def _defaults() -> Mapping[str, Any]:
    """Dotted key → default, as `read_profile` would give it."""
    return dict(flat(tomli.loads(Profile().to_toml())))


def _profile(values: Mapping[str, Any]) -> str:
    default = _defaults()
    rows = [(key, str(value), str(default.get(key, "–"))) for key, value in values.items() if default.get(key) != value]
    all_of_it = page.table(("key", "value"), [(key, str(value)) for key, value in values.items()])
    changed = page.table(("key", "value", "default"), rows) if rows else ""
    return f"{changed}<details><summary>all keys</summary>{all_of_it}</details>" if values else ""

"""What runs there are and what became of them: only read, and whatever is damaged is told, never raised."""

import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from aurl.errors import AurlError
from aurl.home import FINISHED, RUN_MARK
from aurl.storage import read_json, read_toml
from aurl.training.events import ALARM, read_events
from aurl.training.log import read_newest
from aurl.training.ranking import AUTO, OUTDATED, Criterion
from aurl.training.run import PROFILE_NAME, Run
from aurl.training.traces import Traces

RUNNING, KILLED, DAMAGED = "running", "killed", "damaged"
MODE_KEY, BEST_BY_KEY = "model.mode", "training.best_by"
STATE_NAME = "state.json"
MAX_STATE_BYTES = 2**24
_HOLDER = re.compile(r"process (\d+) on (.+)")


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in a few words.

    Args:
        name: of its folder.
        folder: absolute.
        mode: what was trained, None where that cannot be read.
        status: as `run.json` has it; "killed" where that says "running" and nobody trains it, "damaged" without one.
        step: updates done, as far as they are known.
        criterion: name of the number that decides which checkpoint is best.
        best: its best value so far, None without.
        best_step: where that was, 0 without.
        bytes: everything in the folder.
        created: when it was started, ISO 8601.
        updated: when `run.json` was last written.
        parent: the run that it was made from, if any.
        fault: what is wrong with it, empty where nothing is.
    """

    name: str
    folder: Path
    mode: str | None
    status: str
    step: int
    criterion: str
    best: float | None
    best_step: int
    bytes: int
    created: str | None
    updated: str | None
    parent: str | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A checkpoint that is kept.

    Args:
        name: of its folder.
        bytes: of its files.
        pointers: what points to it ("latest", "best").
    """

    name: str
    bytes: int
    pointers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunDetails:
    """All that is worth knowing about a run.

    Args:
        summary: in a few words.
        facts: what `run.json` says.
        profile: dotted key → value, as it was resolved.
        newest: name → its newest number.
        newest_steps: name → the step of that number.
        checkpoints: what is kept, in order of steps.
        events: what happened on the way, as `events.jsonl` tells.
        advice: alarms among them that have not been called off.
        samples: pieces written while training, in order.
        command: what to do next.
    """

    summary: RunSummary
    facts: Mapping[str, Any]
    profile: Mapping[str, Any]
    newest: Mapping[str, float]
    newest_steps: Mapping[str, int]
    checkpoints: tuple[Kept, ...]
    events: tuple[Mapping[str, Any], ...]
    advice: tuple[Mapping[str, Any], ...]
    samples: tuple[Path, ...]
    command: str


@dataclass(slots=True)
class _Found:
    """What could be read, and the first thing that could not."""

    facts: dict[str, Any] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    fault: str = ""


def list_runs(folder: Path) -> list[RunSummary]:
    """All runs in `folder`, whole or not, the newest first."""
    marks = (RUN_MARK, PROFILE_NAME)
    folders = {path.parent for mark in marks for path in folder.glob(f"*/{mark}") if path.parent.name[0] != "."}
    summaries = [summarise(folder) for folder in folders]
    return sorted(summaries, key=lambda run: (run.created or "", run.name), reverse=True)


def summarise(folder: Path) -> RunSummary:
    """One run in a few words."""
    return _summary(Run(folder), _find(Run(folder)))


def describe_run(folder: Path, traces: Traces | None = None) -> RunDetails:
    """One run in full.

    Args:
        folder: of the run.
        traces: its numbers, where they have been read before.
    """
    run = Run(folder)
    found = _find(run)
    summary = _summary(run, found)
    newest = (traces or Traces.read(run.metrics)).newest
    events = read_events(run.events)
    return RunDetails(
        summary=summary,
        facts=found.facts,
        profile=found.profile,
        newest={name: value for name, (_, value) in newest.items()},
        newest_steps={name: step for name, (step, _) in newest.items()},
        checkpoints=tuple(_kept(run.checkpoints)),
        events=tuple(events),
        advice=tuple(_standing(events)),
        samples=tuple(sorted(run.samples.glob("*.mid"))),
        command=_next_command(summary),
    )


def read_profile(folder: Path) -> dict[str, Any]:
    """Dotted key → value of a run's `profile.toml`, whichever version wrote it.

    Raises:
        AurlError: it is missing or no TOML.
    """
    return dict(flat(read_toml(folder / PROFILE_NAME)))


def read_profile_or_nothing(folder: Path) -> dict[str, Any]:
    """The same, empty where it cannot be read."""
    try:
        return read_profile(folder)
    except (AurlError, OSError):
        return {}


def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of nested tables and their values; an empty table is a value."""
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _find(run: Run) -> _Found:
    found = _Found()
    try:
        found.facts = run.facts()
        found.profile = read_profile(run.folder)
        found.state = _newest_state(run.checkpoints)
    except (AurlError, OSError) as error:
        found.fault = getattr(error, "message", str(error))
    return found


def _newest_state(checkpoints: Path) -> dict[str, Any]:
    """What the newest checkpoint says of the training, empty without one; one that cannot be read is passed over."""
    for path in sorted(checkpoints.glob(f"[!.]*/{STATE_NAME}"), reverse=True):
        try:
            state = read_json(path, max_bytes=MAX_STATE_BYTES)
        except AurlError:
            continue
        training = state.get("training") if isinstance(state, dict) else None
        if isinstance(training, dict):
            return training
    return {}


def _summary(run: Run, found: _Found) -> RunSummary:
    facts, state = found.facts, found.state
    mode = found.profile.get(MODE_KEY)
    newest = read_newest(run.metrics)
    criterion = Criterion.of(_text(found.profile.get(BEST_BY_KEY)) or AUTO, latent=mode != "transformer")
    best_step, best = _best(found)
    return RunSummary(
        name=run.folder.name,
        folder=run.folder,
        mode=mode if isinstance(mode, str) else None,
        status=_status(run, facts),
        step=max(_whole(source.get("step")) for source in (facts, state, newest)),
        criterion=criterion.metric,
        best=best,
        best_step=best_step,
        bytes=_size(run.folder),
        created=_text(facts.get("created")),
        updated=_text(facts.get("updated")),
        parent=_name(facts.get("parent")),
        fault=found.fault,
    )


def _best(found: _Found) -> tuple[int, float | None]:
    """Step and value of the best checkpoint, as the newest one knows it; no value where its stage is over."""
    ranking = found.state.get("ranking")
    first = ranking[0] if isinstance(ranking, list) and ranking else {}
    if not isinstance(first, dict):
        return 0, None
    value = _number(first.get("value"))
    return _whole(first.get("step")), None if value is not None and abs(value) >= OUTDATED else value


def _status(run: Run, facts: Mapping[str, Any]) -> str:
    status = facts.get("status")
    if not isinstance(status, str):
        return DAMAGED
    return KILLED if status == RUNNING and not _is_being_trained(run) else status


def _is_being_trained(run: Run) -> bool:
    """Whether the process that wrote its name beside the lock is alive; one on another machine is believed."""
    holder = run.lock.with_name(f"{run.lock.name}.holder")
    try:
        match = _HOLDER.match(holder.read_text(encoding="utf-8").strip())
        if match is None or match[2] != socket.gethostname():
            return match is not None
        # A process that is younger than what it would have written has only the number of the one that did.
        return bool(psutil.Process(int(match[1])).create_time() <= holder.stat().st_mtime)
    except (OSError, ValueError, psutil.Error):
        return False


def _standing(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    newest = {event.get("name"): event for event in events if event["kind"] == ALARM}
    return [event for event in newest.values() if event.get("on")]


def _next_command(summary: RunSummary) -> str:
    if summary.status == RUNNING:
        return f"aurl runs dashboard {summary.name}"
    if summary.status == FINISHED:
        return f"aurl generate --run {summary.name}"
    return "aurl train" if summary.status == DAMAGED else f"aurl resume {summary.name}"


def _kept(checkpoints: Path) -> Iterator[Kept]:
    if not checkpoints.is_dir():
        return
    pointers = {path.name: _pointed(path) for path in checkpoints.iterdir() if path.is_file() and path.name[0] != "."}
    for folder in sorted(path for path in checkpoints.iterdir() if path.is_dir() and path.name[0] != "."):
        names = sorted(name for name, target in pointers.items() if target == folder.name)
        yield Kept(folder.name, _size(folder), tuple(names))


def _pointed(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _size(folder: Path) -> int:
    """Bytes of all files; what disappears meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) else None


def _name(parent: object) -> str | None:
    """Of the run that another has started from."""
    return _text(parent.get("name")) if isinstance(parent, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None

"""What happened to a run beside its numbers: `events.jsonl`, one JSON object per line.

    {"time": …, "step": 250, "kind": "rollback", "message": …, "to_step": 200, "rate": 0.5, …}
    {"time": …, "step": 300, "kind": "alarm", "message": …, "name": "overfitting", "on": true, "advice": …}

Each line is on the disk before training goes on: what a rollback changes is known from here alone, whenever the process
is killed. Unlike `metrics.jsonl`, it keeps what happened before a rollback, also what is trained again since.
"""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aurl.storage import atomic_write

ROLLBACK, ALARM, SKIPPED, SPIKE, DIVERGED = "rollback", "alarm", "skipped", "spike", "diverged"
SWITCHED_OFF = "switched_off"


def write_event(path: Path, step: int, kind: str, message: str, facts: Mapping[str, Any] | None = None) -> None:
    """Append one event; it is on the disk when this returns.

    Args:
        path: of the run's events.
        step: updates done.
        kind: of the event.
        message: what happened, in words.
        facts: what else there is to know of it, as JSON.
    """
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": time, "step": step, "kind": kind, "message": message, **(facts or {})}) + "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read_events(path: Path) -> list[dict[str, Any]]:
    """All whole events, in order; a half-written line is left out."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", errors="replace") as file:
        events = [_event(line) for line in file if line.endswith("\n")]
    return [event for event in events if event is not None]


def forget_after(path: Path, step: int) -> None:
    """Drop what happened after `step`, for it will happen again, but for what led to a rollback or to giving up.

    Args:
        path: of the events.
        step: of the checkpoint that training goes on from.
    """
    if not path.exists():
        return
    events = read_events(path)
    fixed = max((n for n, event in enumerate(events, start=1) if event["kind"] in (ROLLBACK, DIVERGED)), default=0)
    kept = [event for n, event in enumerate(events) if n < fixed or event["step"] <= step]
    with atomic_write(path, mode="w") as file:
        file.writelines(json.dumps(event) + "\n" for event in kept)


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    known = isinstance(event, dict) and isinstance(event.get("step"), int) and isinstance(event.get("kind"), str)
    return event if known else None

"""Says once what is wrong with a run, and once when it is no longer."""

import json
import logging
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aurl.training.advice import KEPT, Advice, History, advise
from aurl.training.events import ALARM, read_events, write_event

logger = logging.getLogger(__name__)


class Alarms:
    """Rules over the history of one run; only its main process asks them.

    What was wrong when the run stopped is known from its metrics, and not said again. A stage of the run has a history
    of its own: another length of windows is another loss, and another pace.

    Args:
        metrics: of the run, as far as they are written.
        events: where what is said is kept.
        since: step that the stage began after.
    """

    def __init__(self, metrics: Path, events: Path, *, since: int = 0) -> None:
        self._events = events
        self._history = History.of(line for line in _newest_lines(metrics) if line["step"] > since)
        self.active: dict[str, Advice] = advise(self._history)

    def begin_stage(self, step: int) -> None:
        """Take back what was wrong in the stage before."""
        newest = {event.get("name"): event for event in read_events(self._events) if event["kind"] == ALARM}
        for name in sorted(str(name) for name, event in newest.items() if event.get("on")):
            self._take_back(step, name)

    def note(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Take one line of metrics, and say what has changed."""
        self._history.add(step, metrics)
        now = advise(self._history)
        for name in sorted(now.keys() - self.active.keys()):
            advice = now[name]
            logger.warning("step %d: %s; %s", step, advice.text, advice.next_step)
            self._say(step, advice)
        for name in sorted(self.active.keys() - now.keys()):
            logger.info("step %d: no longer: %s", step, readable(name))
            self._take_back(step, name)
        self.active = now

    def _say(self, step: int, advice: Advice) -> None:
        write_event(
            self._events, step, ALARM, advice.text, {"name": advice.name, "on": True, "advice": advice.next_step}
        )

    def _take_back(self, step: int, name: str) -> None:
        write_event(self._events, step, ALARM, f"no longer: {readable(name)}", {"name": name, "on": False})


def readable(name: str) -> str:
    """The name of a rule, for people."""
    return name.replace("_", " ")


def _newest_lines(path: Path) -> list[dict[str, Any]]:
    """The last lines of a `metrics.jsonl`; as many as rules may look at."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        lines = deque(file, maxlen=KEPT)
    return [json.loads(line) for line in lines]

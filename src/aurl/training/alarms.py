"""Says once what is wrong with a run, and once when it is no longer."""

import json
import logging
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aurl.training.advice import KEPT, Advice, History, advise
from aurl.training.events import ALARM, write_event

logger = logging.getLogger(__name__)


class Alarms:
    """Rules over the history of one run; only its main process asks them.

    What was wrong when the run stopped is known from its metrics, and not said again.

    Args:
        metrics: of the run, as far as they are written.
        events: where what is said is kept.
    """

    def __init__(self, metrics: Path, events: Path) -> None:
        self._events = events
        self._history = History.of(_newest_lines(metrics))
        self.active: dict[str, Advice] = advise(self._history)

    def note(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Take one line of metrics, and say what has changed."""
        self._history.add(step, metrics)
        now = advise(self._history)
        for name in sorted(now.keys() - self.active.keys()):
            advice = now[name]
            logger.warning("step %d: %s; %s", step, advice.text, advice.next_step)
            self._write(step, advice, on=True)
        for name in sorted(self.active.keys() - now.keys()):
            logger.info("step %d: no longer: %s", step, readable(name))
            self._write(step, self.active[name], on=False)
        self.active = now

    def _write(self, step: int, advice: Advice, *, on: bool) -> None:
        message = advice.text if on else f"no longer: {readable(advice.name)}"
        facts = {"name": advice.name, "on": on} | ({"advice": advice.next_step} if on else {})
        write_event(self._events, step, ALARM, message, facts)


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

"""Experiment trackers, through Accelerate: TensorBoard and others get the numbers of `metrics.jsonl`, with their names.

A tracker is not worth a run: one that fails is left out with a warning. What it is to be told no more, and as what it
knows the run, is kept in `trackers.json`, so that each sitting goes on in the same place: TensorBoard forgets what is
trained again, the others are not told it twice.
"""

import io
import logging
import math
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from accelerate.tracking import LOGGER_TYPE_TO_CLASS
from accelerate.utils import (
    is_mlflow_available,
    is_tensorboard_available,
    is_trackio_available,
    is_wandb_available,
)
from pydantic import TypeAdapter, ValidationError

from aurl.errors import AurlError, UsageError
from aurl.profile import Profile
from aurl.profile.toml import format_value
from aurl.storage import read_json, write_bytes

logger = logging.getLogger(__name__)
PROJECT = "aurl"
"""Under which trackers that know several projects keep runs."""
MEMORY_NAME = "trackers.json"
ID_BYTES = 4


@dataclass
class Memory:
    """What trackers know of a run.

    Args:
        ids: tracker → how it calls the run.
        step: the last that they were told of.
        names: what they were told of that step.
    """

    ids: dict[str, str] = field(default_factory=dict)
    step: int = 0
    names: list[str] = field(default_factory=list)

    def news(self, step: int, values: Mapping[str, float]) -> dict[str, float]:
        """What of it they have not been told."""
        if step < self.step:
            return {}
        return {name: value for name, value in values.items() if step > self.step or name not in self.names}

    def note(self, step: int, values: Iterable[str]) -> None:
        """They have been told."""
        if step > self.step:
            self.step, self.names = step, []
        self.names += values


@dataclass(frozen=True)
class _Kind:
    """One tracker.

    Args:
        installed: whether its package is there.
        options: (run folder, step that the sitting begins after, how it calls the run) → arguments of its class.
        name: what it calls the run once it has started.
        rewinds: it can forget what is trained again.
        finish: ends it.
    """

    installed: Callable[[], bool]
    options: Callable[[Path, int, str | None], dict[str, Any]]
    name: Callable[[Any], str]
    rewinds: bool = False
    finish: Callable[[Any], None] = lambda tracker: tracker.finish()


def _tensorboard(folder: Path, step: int, known_as: str | None) -> dict[str, Any]:
    return {"run_name": "tensorboard", "logging_dir": str(folder), "purge_step": step + 1}


def _wandb(folder: Path, step: int, known_as: str | None) -> dict[str, Any]:
    return {
        "run_name": PROJECT,
        "name": folder.name,
        "id": known_as or secrets.token_hex(ID_BYTES),
        "resume": "allow",
        "dir": str(folder),
        "settings": {"console": "off", "silent": True},  # what is printed is the command line's business
    }


def _mlflow(folder: Path, step: int, known_as: str | None) -> dict[str, Any]:
    return {"experiment_name": PROJECT, "run_name": folder.name, "run_id": known_as}


def _trackio(folder: Path, step: int, known_as: str | None) -> dict[str, Any]:
    return {"run_name": PROJECT, "name": known_as or folder.name, "resume": "allow" if known_as else "never"}


def _finish_trackio(tracker: Any) -> None:
    """By the package: where only the run is finished, it finishes once more, aloud, when Python exits."""
    import_module("trackio").finish()


KINDS = {
    "tensorboard": _Kind(is_tensorboard_available, _tensorboard, lambda writer: "tensorboard", rewinds=True),
    "wandb": _Kind(is_wandb_available, _wandb, lambda run: str(run.id)),
    "mlflow": _Kind(is_mlflow_available, _mlflow, lambda run: str(run.info.run_id)),
    "trackio": _Kind(is_trackio_available, _trackio, lambda run: str(run.name), finish=_finish_trackio),
}


def check_trackers(names: Sequence[str]) -> None:
    """Make sure that what the trackers need is installed.

    Raises:
        UsageError: it is not.
    """
    for name in names:
        if not KINDS[name].installed():
            raise UsageError(
                f"training.trackers: {name} is not installed", hint=f"install it: pip install {name}; or leave it out"
            )


class Trackers:
    """Tells the trackers of a run what is recorded; only its main process makes one.

    Args:
        names: of the trackers, in the order in which they are told.
        folder: of the run.
        profile: told to each tracker when it hears of the run for the first time.
        step: updates done when the sitting begins.
    """

    def __init__(self, names: Sequence[str], folder: Path, profile: Profile, *, step: int) -> None:
        self._path = folder / MEMORY_NAME
        self._memory = _read_memory(self._path)
        self._trackers: dict[str, Any] = {}
        for name in names:
            with self._left_out_if_it_fails(name):
                self._trackers[name] = self._start(name, folder, profile, step)

    def _start(self, name: str, folder: Path, profile: Profile, step: int) -> Any:
        kind, known_as = KINDS[name], self._memory.ids.get(name)
        tracker = LOGGER_TYPE_TO_CLASS[name](**kind.options(folder, step, known_as))
        tracker.start()
        if known_as is None:
            tracker.store_init_configuration(settings(profile))
            self._memory.ids[name] = kind.name(tracker.tracker)
            self._keep()
        return tracker

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Tell them of one record; what is no finite number they are not told."""
        values = {name: value for name, value in metrics.items() if _is_finite(value)}
        news = self._memory.news(step, values)
        for name in list(self._trackers):
            told = values if KINDS[name].rewinds else news
            if told:
                with self._left_out_if_it_fails(name):
                    self._trackers[name].log(told, step=step)
        if news:
            self._memory.note(step, news)
            self._keep()

    def sync(self) -> None:
        """They write when they like."""

    def close(self) -> None:
        """The sitting is over."""
        for name in list(self._trackers):
            with self._left_out_if_it_fails(name):
                KINDS[name].finish(self._trackers.pop(name))

    def _keep(self) -> None:
        write_bytes(self._path, _ADAPTER.dump_json(self._memory), durable=False)

    @contextmanager
    def _left_out_if_it_fails(self, name: str) -> Iterator[None]:
        """Whatever a tracker raises costs only the tracker; what it prints is kept for who looks for faults."""
        said = io.StringIO()
        try:
            with redirect_stdout(said):
                yield
        except Exception as error:  # noqa: BLE001 - trackers are other people's code, often with a network behind it
            self._trackers.pop(name, None)
            logger.warning("tracker %s is left out from now on: %s: %s", name, type(error).__name__, error)
        if said.getvalue():
            logger.debug("%s: %s", name, said.getvalue().strip())


def settings(profile: Profile) -> dict[str, str | int | float | bool]:
    """The profile with dotted keys, as trackers take it: what is no single value is written as in a profile file."""
    return {
        key: value if isinstance(value, str | int | float) else format_value(value)
        for key, value in profile.values().items()
    }


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _read_memory(path: Path) -> Memory:
    """What they were told before; nothing where that is not known."""
    try:
        return _ADAPTER.validate_python(read_json(path))
    except (AurlError, ValidationError):
        return Memory()


_ADAPTER = TypeAdapter(Memory)

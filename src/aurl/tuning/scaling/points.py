"""Finished runs as points of a scaling law."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aurl.errors import UsageError
from aurl.generation.load import LATEST, find_checkpoint
from aurl.storage import read_json
from aurl.training.checkpoint import STATE_NAME
from aurl.training.run import Run
from aurl.tuning.scaling.fit import Point
from aurl.tuning.trial import PRUNED, values_of

NATS, BOUND = "valid/nats_per_token", "valid/elbo_per_token"


@dataclass(frozen=True)
class Measured:
    """What runs have measured.

    Args:
        metric: name of the number.
        points: of the runs.
        skipped: name of a run that cannot be used → why.
    """

    metric: str
    points: tuple[Point, ...]
    skipped: dict[str, str]


def measure(runs: Sequence[Path], metric: str = "") -> Measured:
    """The last validation of each run, with its size and the targets that it had learned by then.

    Args:
        runs: folders; those that did not come to their end say nothing, for their learning rate had not fallen.
        metric: name of the number; "" for the likelihood per target, with latents the bound's.

    Raises:
        UsageError: runs of different data sets, or of modes whose numbers cannot be compared.
        NotFoundError: a folder is no run.
    """
    points, skipped, datasets, metrics = [], dict[str, str](), dict[str, str](), dict[str, str]()
    for folder in runs:
        run = Run(folder)
        facts, profile = run.facts(), run.profile()
        name = metric or (NATS if profile.model.mode == "transformer" else BOUND)
        last = _last(run, name)
        if facts.get("status") != "finished" or facts.get("reason") == PRUNED:
            skipped[_called(folder)] = f"it has not come to its end ({facts.get('reason', facts.get('status'))})"
        elif last is None:
            skipped[_called(folder)] = f"it has logged no {name}"
        else:
            datasets.setdefault(facts["dataset"], _called(folder))
            metrics.setdefault(name, _called(folder))
            points.append(Point(_called(folder), int(facts["parameters"]), *last))
    for what, found in (("data sets", datasets), ("numbers", metrics)):
        if len(found) > 1:
            first, second = list(found.items())[:2]
            raise UsageError(
                f"these runs are of different {what}: {first[1]} of {first[0]}, {second[1]} of {second[0]}",
                hint="a law is of one data set and one kind of model",
            )
    return Measured(next(iter(metrics), metric), tuple(points), skipped)


def _called(folder: Path) -> str:
    """Trials of a study have the study's name, too."""
    return f"{folder.parent.parent.name}/{folder.name}" if folder.parent.name == "trials" else folder.name


def _last(run: Run, metric: str) -> tuple[int, float] | None:
    """Targets learned until the last time that a number was logged, and its value.

    The newest checkpoint knows how many; where it is not of the same step, batches are taken to be even.
    """
    values = values_of(run.metrics, metric)
    if not values:
        return None
    step, value = values[-1]
    state = read_json(find_checkpoint(run.folder, LATEST) / STATE_NAME)["training"]
    return round(state["tokens"] * step / state["step"]), value

"""From a run to the landscape around one of its checkpoints."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from aurl.data.dataset import TokenDataset, open_dataset
from aurl.errors import UsageError
from aurl.generation.load import CHECKPOINTS, STEP_PREFIX, Loaded, load_run
from aurl.model.twice import differentiable_twice
from aurl.progress import Interrupts, Progress, Report, silent
from aurl.storage import MANIFEST_NAME, read_json
from aurl.training.landscape.directions import Plane, random_plane, trajectory_plane
from aurl.training.landscape.result import Landscape, Question, Sharpness, finite
from aurl.training.landscape.sharpness import RHO, ascent_sharpness, gradient, largest_eigenvalue
from aurl.training.landscape.surface import grid_steps, rows_of_surface
from aurl.training.landscape.weights import Vector, norm, parameters_of
from aurl.training.landscape.windows import WindowLoss, spread_windows
from aurl.training.setup import valid_windows

FEWEST_POINTS = 3


class _Asked(Exception):  # noqa: N818 - no fault, but the way out of what is being computed
    """A signal has asked to stop."""


@dataclass
class Looking:
    """What a look at a checkpoint works with.

    Args:
        loaded: the checkpoint.
        known: what has been found so far.
        loss: the loss, and how many targets it is of.
        plane: what is looked at.
    """

    loaded: Loaded
    known: Landscape
    loss: WindowLoss
    plane: Plane

    @property
    def parameters(self) -> Vector:
        """Of the model."""
        return parameters_of(self.loaded.model)


def prepare_look(
    run: Path,
    *,
    checkpoint: str = "best",
    points: int = 21,
    span: float = 1.0,
    windows: int = 16,
    pca: bool = False,
    seed: int = 0,
    dataset: Path | None = None,
    device: str = "cpu",
) -> Looking:
    """Everything that is needed to look at a checkpoint of a run; nothing is known of the landscape yet.

    Args:
        run: its folder.
        checkpoint: "best", "latest" or a name.
        points: along each direction; odd, so that the checkpoint itself is one of them.
        span: steps to each side; with 1 random directions are as long as the weights, filter by filter.
        windows: of the valid split, evenly spread over it.
        pca: look at the plane of the run's checkpoints.
        seed: of random directions.
        dataset: where the data set is now, if it has moved.
        device: where to compute.

    Raises:
        UsageError: points, span or data set cannot be, there is no valid split, or too few checkpoints for a plane.
        NotFoundError: there is no such run, checkpoint or data set.
        DamagedError: the checkpoint is damaged.
    """
    _check(points, span)
    loaded = load_run(run, checkpoint=checkpoint, device=device, packed=False)
    batches = spread_windows(_valid(loaded, dataset), windows, batch_size=loaded.profile.data.batch_size)
    loss = WindowLoss(loaded.model, batches)
    plane = _plane(loaded, device, pca=pca, seed=seed)
    question = Question(
        run=run.name,
        checkpoint=loaded.checkpoint.name,
        digest=hashlib.sha256((loaded.checkpoint / MANIFEST_NAME).read_bytes()).hexdigest(),
        is_average=loaded.is_average,
        loss="elbo_per_token" if loaded.model.levels else "nats_per_token",
        windows=sum(len(batch.inputs) for batch in batches),
        directions="pca" if pca else "random",
        points=points,
        span=span,
        seed=seed,
    )
    steps = tuple(grid_steps(points, span))
    known = Landscape(question, loss.tokens, steps, trajectory=plane.places, explained=plane.explained)
    return Looking(loaded, known, loss, plane)


def _check(points: int, span: float) -> None:
    if points < FEWEST_POINTS or not points % 2:
        raise UsageError(
            f"{points} points cannot be", hint="choose an odd number from 3 on: the middle one is the model"
        )
    if not 0 < span < float("inf"):
        raise UsageError(f"a span of {span} cannot be", hint="choose a number above 0")


def _plane(loaded: Loaded, device: str, *, pca: bool, seed: int) -> Plane:
    weights = parameters_of(loaded.model)
    return trajectory_plane(weights, _others(loaded, device)) if pca else random_plane(weights, seed)


def _valid(loaded: Loaded, folder: Path | None) -> TokenDataset:
    facts = read_json(loaded.run / "run.json")
    data = open_dataset(Path(facts["dataset"]) if folder is None else folder)
    if facts["codec"] != data.codec.signature():
        raise UsageError(
            f"{data.folder} is not spelt as the data set of {loaded.run.name}", hint="name the right one with --data"
        )
    if not data.splits["valid"].pieces:
        raise UsageError(f"the valid split of {data.folder} is empty", hint="prepare one that has valid pieces")
    return valid_windows(loaded.profile, data, facts.get("styles", ()))


def _others(loaded: Loaded, device: str) -> dict[str, Vector]:
    """Weights of the run's other checkpoints, of the same sort."""
    folders = sorted((loaded.run / CHECKPOINTS).glob(f"{STEP_PREFIX}*"))
    others = [folder.name for folder in folders if folder.is_dir() and folder != loaded.checkpoint]
    return {
        name: parameters_of(
            load_run(loaded.run, checkpoint=name, ema=loaded.is_average, device=device, packed=False).model
        )
        for name in others
    }


def look(
    looking: Looking,
    *,
    keep: Callable[[Landscape], None],
    report: Report = silent,
    interrupts: Interrupts | None = None,
) -> Landscape:
    """Find out what is not known yet.

    Args:
        looking: what to look at; it takes up what is found.
        keep: given all that is known, after each row and at the end.
        report: told after every pass over the windows.
        interrupts: looked at after every pass; what is known then is returned.
    """
    asked = interrupts or Interrupts()
    try:
        _surface(looking, keep, report, asked)
        if looking.known.sharpness is None:
            looking.known = replace(looking.known, sharpness=_sharpness(looking, report, asked))
            keep(looking.known)
    except _Asked:
        pass
    return looking.known


def _surface(looking: Looking, keep: Callable[[Landscape], None], report: Report, asked: Interrupts) -> None:
    steps = looking.known.steps
    after = _telling("surface", len(looking.known.losses) * len(steps), len(steps) ** 2, "points", report, asked)

    def take(row: list[float]) -> None:
        looking.known = replace(looking.known, losses=(*looking.known.losses, finite(row)))
        keep(looking.known)

    done = len(looking.known.losses)
    rows_of_surface(looking.loss, looking.parameters, looking.plane, steps, done=done, after=after, take=take)


def _sharpness(looking: Looking, report: Report, asked: Interrupts) -> Sharpness:
    parameters = looking.parameters
    length = norm(gradient(looking.loss, parameters))
    ascent = ascent_sharpness(looking.loss, parameters)
    after = _telling("curvature", 0, None, "products", report, asked)
    with differentiable_twice():
        found = largest_eigenvalue(looking.loss, parameters, seed=looking.known.question.seed, after=after)
    return Sharpness(ascent, RHO, length, found.value, found.products, found.converged)


def _telling(
    task: str, done: int, total: int | None, unit: str, report: Report, asked: Interrupts
) -> Callable[[], None]:
    def after() -> None:
        nonlocal done
        done += 1
        report(Progress(task, done, total, unit))
        if asked.stop is not None:
            raise _Asked

    return after

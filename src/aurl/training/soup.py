"""The mean of several checkpoints' weights, which is often better than each of them.

Equal weights for all, as in the uniform soup of Wortsman et al. (ICML 2022); of one run, for means of runs that did not
start from the same weights are worth nothing. What comes of it can be generated with, not gone on from: it has no
optimizer.

    checkpoints/average-00000400-last3/  model · ema · swa (.safetensors), state.json, manifest.sha256
"""

from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from aurl.errors import DamagedError, NotFoundError, UsageError
from aurl.model.lora import merged
from aurl.storage import atomic_folder, write_json, write_manifest
from aurl.training.checkpoint import (
    EMA,
    MODEL,
    SCHEMA_VERSION,
    STATE_NAME,
    SWA,
    Checkpoints,
    check_folder,
    folder_name,
    newest_first,
    read_tensors,
    step_of,
)

AVERAGE_PREFIX = "average-"
FEWEST = 2


def average_checkpoints(
    checkpoints: Checkpoints, *, last: int | None = None, best: int | None = None, steps: Sequence[int] = ()
) -> Path:
    """Write the mean of some checkpoints of a run beside them.

    Args:
        checkpoints: of the run.
        last: the newest so many.
        best: the best so many, by what the run ranks them by.
        steps: these.

    Returns:
        The new folder; `generate --checkpoint` takes its name.

    Raises:
        UsageError: fewer than two, or more than one way to choose them.
        NotFoundError: one of them is not there.
        DamagedError: one of them is not whole, or is not of the same model.
    """
    if sum(bool(way) for way in (last, best, steps)) != 1:
        raise UsageError(
            "it takes one way to say which checkpoints", hint="--last N, --best K, or --step STEP for each of them"
        )
    folders = _chosen(checkpoints, last=last, best=best, steps=steps)
    if len(folders) < FEWEST:
        raise UsageError(
            f"{len(folders)} checkpoints are too few for a mean",
            hint="keep more of them: training.keep_last, keep_best or keep_every",
        )
    for folder in folders:
        check_folder(folder)
    means = {name: mean_of(folders, name) for name in (MODEL, EMA, SWA) if _have(folders, name)}
    label = f"last{len(folders)}" if last else f"best{len(folders)}" if best else f"steps{len(folders)}"
    newest = max(step_of(folder) for folder in folders)
    final = checkpoints.folder / f"{AVERAGE_PREFIX}{newest:08d}-{label}"
    with atomic_folder(final) as temporary:
        for name, tensors in means.items():
            save_file(tensors, temporary / f"{name}.safetensors")
        averaged = sorted(step_of(folder) for folder in folders)
        write_json(temporary / STATE_NAME, {"schema_version": SCHEMA_VERSION, "averaged": averaged})
        write_manifest(temporary)
    return final


def mean_of(folders: Sequence[Path], name: str) -> dict[str, Tensor]:
    """The mean of one file of several checkpoints, summed in float64; of what is not a float, the first one's.

    Adapters are added to their weights first, for the mean of products is not the product of means.

    Raises:
        DamagedError: they are not of the same names and shapes.
    """
    first = merged(read_tensors(folders[0], name))
    sums = {key: tensor.double() for key, tensor in first.items() if tensor.is_floating_point()}
    for folder in folders[1:]:
        tensors = merged(read_tensors(folder, name))
        if {key: tensor.shape for key, tensor in tensors.items()} != {key: one.shape for key, one in first.items()}:
            raise DamagedError(f"{folder} is not of the same model as {folders[0]}")
        for key, total in sums.items():
            total.add_(tensors[key].double())
    means = {key: (total / len(folders)).to(first[key].dtype) for key, total in sums.items()}
    return {**first, **means}


def _have(folders: Sequence[Path], name: str) -> bool:
    return all((folder / f"{name}.safetensors").is_file() for folder in folders)


def _chosen(checkpoints: Checkpoints, *, last: int | None, best: int | None, steps: Sequence[int]) -> list[Path]:
    """The newest first, or the best."""
    known = newest_first(checkpoints.folder)
    if last:
        return known[:last]
    if best:
        found = checkpoints.find()
        ranking = () if found is None else found.ranking
        wanted = [checkpoints.folder / folder_name(step) for step in ranking[:best]]
        return [folder for folder in wanted if folder in known]
    wanted = [checkpoints.folder / folder_name(step) for step in sorted(set(steps), reverse=True)]
    if missing := [folder.name for folder in wanted if folder not in known]:
        names = ", ".join(folder.name for folder in known) or "none"
        raise NotFoundError(f"{checkpoints.folder} has no {missing[0]}", hint=f"there are: {names}")
    return wanted

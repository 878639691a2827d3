"""Directions in the latents along which music becomes denser, higher, louder, …: read from a run, and gone along."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from aurl.errors import DamagedError, UsageError, did_you_mean
from aurl.generation.load import Loaded
from aurl.storage import MANIFEST_NAME, write_bytes, write_json

FOLDER = "latent"
TENSORS, FACTS = "directions.safetensors", "directions.json"
VERSION = 1
"""Raised whenever the same codes would give other directions."""
VECTOR, WEIGHT = "vector", "weight"
LEAST_R2 = 0.05
"""Of a direction to go along: the less a level says of an attribute, the further its latents would have to go."""
LEARN = "learn them: aurl inspect-latent attributes"


@dataclass(frozen=True)
class Direction:
    """What is known of the direction of an attribute on one level.

    Args:
        scale: change of the attribute in deviations for each unit along the vector, by the regression.
        r2: share of its variance in unseen pieces that the regression explains; below 0: worse than the mean.
        correlation: there, of what the regression says with what is so.
        reference_correlation: the same for the difference of the mean latents above and below the median.
        count: of latents that it was learned from.
    """

    scale: float
    r2: float
    correlation: float
    reference_correlation: float
    count: int

    @property
    def says_something(self) -> bool:
        """Whether latents of this level say anything of the attribute."""
        return self.r2 >= LEAST_R2


@dataclass(frozen=True)
class Attribute:
    """What is known of one attribute.

    Args:
        mean: over the windows of the training set, in its own unit.
        deviation: likewise; what a change is counted in.
        levels: level → its direction there.
    """

    mean: float
    deviation: float
    levels: Mapping[str, Direction]

    @property
    def says_something(self) -> bool:
        """Whether latents of any level say anything of it."""
        return any(level.says_something for level in self.levels.values())


@dataclass(frozen=True)
class Directions:
    """A direction on every level for every attribute, learned from a model's codes of its training set.

    With w the weights of a regression of the attribute (in deviations) on latents whose covariance is S, going along
    S w is the likeliest way, under a normal distribution, to change what it says (Haufe et al., NeuroImage 2014).

    Args:
        model: which weights they are of, see `model_digest`.
        facts: attribute → what is known of it, in the order of the rows of `vectors`.
        vectors: level → (A, size), each of length 1; zeros where the level says nothing of the attribute.
        weights: level → (A, size), of the regression; likewise.
    """

    model: str
    facts: Mapping[str, Attribute]
    vectors: Mapping[str, NDArray[np.float32]]
    weights: Mapping[str, NDArray[np.float32]]

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of what can be asked for."""
        return tuple(self.facts)

    def shift(self, more: Mapping[str, float], *, hold: bool = False) -> dict[str, Tensor]:
        """What to add to all latents of a level, level → `(size,)`.

        Args:
            more: attribute → by how many deviations it is to change; several are reached together.
            hold: attributes that are not asked for are to stay as they are.

        Raises:
            UsageError: there is no such attribute, or a number is none.
        """
        for name, amount in more.items():
            self._check(name, amount)
        wanted = np.array([more.get(name, 0.0) for name in self.attributes])
        rows = [row for row, name in enumerate(self.attributes) if hold or name in more]
        return {
            level: torch.from_numpy(_along(vectors[rows], self.weights[level][rows], wanted[rows]))
            for level, vectors in self.vectors.items()
        }

    def _check(self, name: str, amount: float) -> None:
        usable = [name for name, attribute in self.facts.items() if attribute.says_something]
        hint = f"they do of: {', '.join(usable)}"
        if name not in self.facts:
            raise UsageError(f"no direction is known for more {name}", hint=did_you_mean(name, usable) or hint)
        if name not in usable:
            raise UsageError(f"the latents of this model say next to nothing of {name}", hint=hint)
        if not math.isfinite(amount):
            raise UsageError(f"more {name}={amount} is no amount", hint=f"give deviations, such as {name}=+1.5")


def _along(
    vectors: NDArray[np.float32], weights: NDArray[np.float32], wanted: NDArray[np.float64]
) -> NDArray[np.float32]:
    """`(size,)`: the sum of multiples of `vectors` that has these effects, or comes nearest to them."""
    effects = weights.astype(np.float64) @ vectors.T
    found: NDArray[np.float32] = (np.linalg.lstsq(effects, wanted)[0] @ vectors).astype(np.float32)
    return found


def model_digest(loaded: Loaded) -> str:
    """Which weights a model has: other latents have other directions."""
    manifest = hashlib.sha256((loaded.checkpoint / MANIFEST_NAME).read_bytes()).hexdigest()
    return f"{loaded.checkpoint.name} {'average' if loaded.is_average else 'weights'} {manifest}"


def save_directions(directions: Directions, run: Path) -> Path:
    """Keep them in the folder of their run; beside them the facts for people. Returns the file that is read again."""
    facts = {
        "version": VERSION,
        "model": directions.model,
        "attributes": {name: asdict(attribute) for name, attribute in directions.facts.items()},
    }
    tensors = {
        f"{level}.{part}": np.ascontiguousarray(rows, np.float32)
        for part, levels in ((VECTOR, directions.vectors), (WEIGHT, directions.weights))
        for level, rows in levels.items()
    }
    path = run / FOLDER / TENSORS
    write_bytes(path, save(tensors, {FACTS: json.dumps(facts)}))
    write_json(run / FOLDER / FACTS, facts)
    return path


def load_directions(loaded: Loaded) -> Directions:
    """The directions that were learned for this model.

    Raises:
        UsageError: none were.
        DamagedError: they cannot be read.
    """
    path = loaded.run / FOLDER / TENSORS
    found = _read(path) if path.is_file() else None
    if found is None or found.model != model_digest(loaded):
        raise UsageError(
            f"directions of {loaded.run.name}, {loaded.checkpoint.name}, have not been learned", hint=LEARN
        )
    return found


def _read(path: Path) -> Directions | None:
    """None where another version made them."""
    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {})[FACTS])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if facts["version"] != VERSION:
            return None
        attributes = {name: _attribute(fields) for name, fields in facts["attributes"].items()}
        return Directions(facts["model"], attributes, _part(tensors, VECTOR), _part(tensors, WEIGHT))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"{path} cannot be read: {error}", hint=LEARN) from error


def _attribute(fields: Mapping[str, Any]) -> Attribute:
    levels = {level: Direction(**direction) for level, direction in fields["levels"].items()}
    return Attribute(fields["mean"], fields["deviation"], levels)


def _part(tensors: Mapping[str, NDArray[Any]], part: str) -> dict[str, NDArray[np.float32]]:
    return {name.removesuffix(f".{part}"): rows for name, rows in tensors.items() if name.endswith(f".{part}")}

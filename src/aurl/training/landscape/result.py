"""What is known of a landscape, as JSON that a later call can go on with."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from aurl.errors import DamagedError
from aurl.storage import read_json, write_json

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Question:
    """What is looked at: with the same answer to all of it, every number comes out the same.

    Args:
        run: name of the run.
        checkpoint: name of its checkpoint.
        digest: SHA-256 of the checkpoint's manifest.
        is_average: the weights are the running average (EMA).
        loss: name of the number: `nats_per_token`, with latents `elbo_per_token`.
        windows: of the valid split, evenly spread.
        directions: two random ones, filter-normalised, or the main ones of the run's checkpoints.
        points: along each direction.
        span: steps to each side.
        seed: of random directions, and of the power iteration.
    """

    run: str
    checkpoint: str
    digest: str
    is_average: bool
    loss: str
    windows: int
    directions: Literal["random", "pca"]
    points: int
    span: float
    seed: int


@dataclass(frozen=True)
class Sharpness:
    """How steep it is in the middle.

    Args:
        ascent: by how much the loss rises after a step of length `rho` up the gradient (Foret et al., ICLR 2021).
        rho: that length.
        gradient_norm: length of the gradient.
        eigenvalue: the largest of the Hessian.
        products: of Hessian and vector that it took to find it.
        converged: False where it was still changing.
    """

    ascent: float
    rho: float
    gradient_norm: float
    eigenvalue: float
    products: int
    converged: bool


@dataclass(frozen=True)
class Landscape:
    """What has been found so far.

    Args:
        question: what is looked at.
        tokens: targets in the windows.
        steps: along each direction; the middle one is 0.
        losses: rows of the grid from the bottom, each from left to right; None where the loss is not finite.
        trajectory: name of a checkpoint → where it lies in the plane; empty for random directions.
        explained: shares of the checkpoints' variance along both directions; empty for random directions.
        sharpness: in the middle; None as long as it is not known.
    """

    question: Question
    tokens: int
    steps: tuple[float, ...]
    losses: tuple[tuple[float | None, ...], ...] = ()
    trajectory: dict[str, tuple[float, float]] | None = None
    explained: tuple[float, ...] = ()
    sharpness: Sharpness | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return len(self.losses) == len(self.steps) and self.sharpness is not None

    @property
    def centre(self) -> float | None:
        """The loss of the checkpoint itself; None as long as the row is missing or where it is not finite."""
        middle = len(self.steps) // 2
        return self.losses[middle][middle] if len(self.losses) > middle else None

    def write(self, path: Path) -> None:
        """Write it, atomically."""
        write_json(path, {"schema_version": SCHEMA_VERSION, **_ADAPTER.dump_python(self, mode="json")})

    @classmethod
    def read(cls, path: Path) -> "Landscape":
        """Inverse of `write`.

        Raises:
            DamagedError: the file holds something else.
        """
        content: Any = read_json(path)
        if not isinstance(content, dict) or content.pop("schema_version", None) != SCHEMA_VERSION:
            raise DamagedError(f"{path} is no landscape that this version knows")
        try:
            return _ADAPTER.validate_python(content)
        except ValidationError as error:
            raise DamagedError(f"{path} is no landscape: {error.errors()[0]['msg']}") from error


def finite(row: list[float]) -> tuple[float | None, ...]:
    """A row as it is kept."""
    return tuple(value if isfinite(value) else None for value in row)


_ADAPTER = TypeAdapter(Landscape)

"""Two directions in the space of weights that span the plane which is looked at.

Weights of one number per feature (biases, gains) are left alone: Li et al. do so, too, for they have no scale that a
filter's norm could give.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aurl.errors import UsageError
from aurl.training.landscape.weights import Vector, dot

FLAT = 1e-6
"""Share of the variance below which the second component of a trajectory is rounding."""


@dataclass(frozen=True)
class Plane:
    """What is looked at.

    Args:
        first: the horizontal direction; a step of 1 is as far as the weights themselves are long, or the trajectory.
        second: the vertical one.
        places: name of a point of the trajectory → where it is in the plane; empty where there is none.
        explained: shares of the trajectory's variance along both directions; empty where there is none.
    """

    first: Vector
    second: Vector
    places: dict[str, tuple[float, float]]
    explained: tuple[float, ...]


def random_plane(weights: Sequence[Tensor], seed: int) -> Plane:
    """Two normal directions, filter by filter as long as the weights (Li et al., NeurIPS 2018), on any device."""
    generator = torch.Generator().manual_seed(seed)
    first, second = ([torch.randn(part.shape, generator=generator).to(part) for part in weights] for _ in range(2))
    return Plane(filter_normalised(first, weights), filter_normalised(second, weights), {}, ())


def filter_normalised(direction: Sequence[Tensor], weights: Sequence[Tensor]) -> Vector:
    """`direction` with each filter as long as that of the weights: what makes one output, a row of a matrix.

    Zero where weights have fewer than two dimensions.
    """
    return [_normalised(part, weight.detach()) for part, weight in zip(direction, weights, strict=True)]


def _normalised(part: Tensor, weight: Tensor) -> Tensor:
    if weight.ndim < 2:
        return torch.zeros_like(weight)
    shape = (-1, *(1 for _ in range(weight.ndim - 1)))
    lengths, wanted = part.flatten(1).norm(dim=1), weight.flatten(1).norm(dim=1)
    scale: Tensor = wanted / lengths.clamp(min=torch.finfo(part.dtype).tiny)
    return part * scale.view(shape)


def trajectory_plane(weights: Sequence[Tensor], others: Mapping[str, Sequence[Tensor]]) -> Plane:
    """The plane in which the weights of a run's checkpoints lie as far as that is possible (PCA, Li et al., section 7).

    Filters keep their own scale here, or the trajectory would not lie in the plane; the point that is farthest along a
    direction is one step away.

    Args:
        weights: of the checkpoint that is in the middle.
        others: name → weights of another one.

    Raises:
        UsageError: the checkpoints lie on a line.
    """
    moves = {name: _matrices(other, weights) for name, other in others.items()}
    gram = torch.tensor([dot(a, b) for a in moves.values() for b in moves.values()], dtype=torch.float64)
    shape = len(moves), len(moves)
    values, vectors = torch.linalg.eigh(gram.view(shape))  # ascending; an eigenvector mixes moves
    if len(moves) < 2 or values[-2] <= FLAT * values[-1]:
        raise UsageError(
            f"the run has {len(moves) + 1} checkpoints in different places, and a plane needs three",
            hint="leave --pca out, or train with a larger training.keep_last",
        )
    directions, along = [], []
    for mix, value in zip(vectors.T[[-1, -2]].tolist(), values[[-1, -2]].tolist(), strict=True):
        unit = _mixed(list(moves.values()), [share / value**0.5 for share in mix])
        places = [dot(move, unit) for move in moves.values()]
        reach = max(map(abs, places))
        directions.append([part * reach for part in unit])
        along.append([place / reach for place in places])
    explained = tuple((values[[-1, -2]] / values.sum()).tolist())
    (first, second), (right, up) = directions, along
    return Plane(first, second, dict(zip(moves, zip(right, up, strict=True), strict=True)), explained)


def _matrices(other: Sequence[Tensor], weights: Sequence[Tensor]) -> Vector:
    pairs = zip(other, weights, strict=True)
    return [(a - b).detach() if b.ndim >= 2 else torch.zeros_like(b) for a, b in pairs]


def _mixed(moves: Sequence[Vector], shares: Sequence[float]) -> Vector:
    return [sum(share * part for share, part in zip(shares, parts, strict=True)) for parts in zip(*moves, strict=True)]

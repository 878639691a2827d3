"""The loss over a grid of points in a plane of weights."""

from collections.abc import Callable, Sequence

from torch import Tensor

from aurl.training.landscape.directions import Plane
from aurl.training.landscape.sharpness import Parts, loss_of, nothing
from aurl.training.landscape.weights import moving, place


def grid_steps(points: int, span: float) -> list[float]:
    """`points` steps from -span to span, the middle one exactly 0.

    Args:
        points: odd.
        span: how far it goes to each side.
    """
    half = points // 2
    return [span * (number - half) / half for number in range(points)]


def rows_of_surface(
    parts: Parts,
    parameters: Sequence[Tensor],
    plane: Plane,
    steps: Sequence[float],
    *,
    done: int = 0,
    after: Callable[[], None] = nothing,
    take: Callable[[list[float]], None],
) -> None:
    """Compute the loss row by row, from the bottom; the parameters are afterwards what they were.

    Args:
        parts: the loss; the same at every point but for the weights.
        parameters: that are moved.
        plane: where to.
        steps: along each direction.
        done: rows that are known already.
        after: called after each point; what it raises ends the computation.
        take: given each row once it is whole.
    """
    with moving(parameters) as centre:
        for up in steps[done:]:
            row = []
            for right in steps:
                place(parameters, centre, (right, plane.first), (up, plane.second))
                row.append(loss_of(parts))
                after()
            take(row)

"""How steep the loss is around the weights: the worst that a small step can do, and the largest curvature."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd import grad

from aurl.training.landscape.weights import Vector, dot, moving, norm, place

Parts = Callable[[], Iterable[Tensor]]
"""The loss in parts, one for each batch, each with gradient: their sum is the loss. Every call gives the same."""
RHO = 0.05
"""Length of the step over all weights together (Foret et al., ICLR 2021, use it for all but the largest models)."""
MAX_PRODUCTS = 50
"""Of Hessian and vector, for each end of the spectrum."""
TOLERANCE = 1e-3
"""Relative change of the eigenvalue at which the iteration has converged."""


@dataclass(frozen=True)
class Eigenvalue:
    """The largest eigenvalue of a Hessian.

    Args:
        value: in the loss's unit per squared unit of weights; negative where the loss falls to all sides.
        products: of Hessian and vector that it took.
        converged: False where it was still changing by more than the tolerance.
    """

    value: float
    products: int
    converged: bool


def nothing() -> None:
    """Do nothing after a pass over the loss."""


def loss_of(parts: Parts) -> float:
    """The loss, without gradient."""
    with torch.no_grad():
        return sum(float(part) for part in parts())


def gradient(parts: Parts, parameters: Sequence[Tensor]) -> Vector:
    """Its gradient; zero for parameters that it does not depend on."""
    return _summed(parameters, (grad(part, parameters, materialize_grads=True) for part in parts()))


def hessian_product(parts: Parts, parameters: Sequence[Tensor], vector: Sequence[Tensor]) -> Vector:
    """Hessian times vector (Pearlmutter, 1994); the parts must be differentiable twice."""

    def product(part: Tensor) -> tuple[Tensor, ...]:
        slopes = grad(part, parameters, create_graph=True, materialize_grads=True)
        along = torch.stack([(slope * side).sum() for slope, side in zip(slopes, vector, strict=True)]).sum()
        if not along.requires_grad:  # a plane has no curvature
            return tuple(torch.zeros_like(parameter) for parameter in parameters)
        return grad(along, parameters, materialize_grads=True)

    return _summed(parameters, map(product, parts()))


def _summed(parameters: Sequence[Tensor], vectors: Iterable[Sequence[Tensor]]) -> Vector:
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for vector in vectors:
        torch._foreach_add_(total, list(vector))
    return total


def ascent_sharpness(parts: Parts, parameters: Sequence[Tensor], *, rho: float = RHO) -> float:
    """By how much the loss rises after a step of length `rho` up its gradient, in its own unit.

    That is, to first order, the worst that any such step can do (Foret et al., ICLR 2021, equation 2). 0 where there
    is no slope. The parameters are afterwards what they were.
    """
    slope = gradient(parts, parameters)
    length = norm(slope)
    if not length:
        return 0.0
    before = loss_of(parts)
    with moving(parameters) as centre:
        place(parameters, centre, (rho / length, slope))
        return loss_of(parts) - before


def largest_eigenvalue(
    parts: Parts,
    parameters: Sequence[Tensor],
    *,
    seed: int = 0,
    max_products: int = MAX_PRODUCTS,
    tolerance: float = TOLERANCE,
    after: Callable[[], None] = nothing,
) -> Eigenvalue:
    """The largest eigenvalue of the Hessian, by power iteration.

    The iteration finds the one of largest magnitude. Where that is negative, it is done once more on the Hessian less
    this value, whose largest one it then finds.

    Args:
        parts: the loss, differentiable twice.
        parameters: of the model.
        seed: of the vector to begin with.
        max_products: for each end of the spectrum.
        tolerance: relative change at which it is good enough.
        after: called after each product; what it raises ends the iteration.
    """
    generator = torch.Generator().manual_seed(seed)
    start = [torch.randn(part.shape, generator=generator).to(part) for part in parameters]

    def end(shift: float) -> Eigenvalue:
        return _power(lambda v: _shifted(parts, parameters, v, shift, after), start, max_products, tolerance)

    first = end(0.0)
    if first.value >= 0:
        return first
    second = end(first.value)
    return Eigenvalue(
        second.value + first.value, first.products + second.products, first.converged and second.converged
    )


def _shifted(
    parts: Parts, parameters: Sequence[Tensor], vector: Vector, shift: float, after: Callable[[], None]
) -> Vector:
    product = hessian_product(parts, parameters, vector)
    torch._foreach_add_(product, vector, alpha=-shift)
    after()
    return product


def _power(apply: Callable[[Vector], Vector], start: Vector, max_products: int, tolerance: float) -> Eigenvalue:
    vector, value = _unit(start), 0.0
    for count in range(1, max_products + 1):
        product = apply(vector)
        before, value = value, dot(vector, product)
        if (count > 1 and abs(value - before) <= tolerance * abs(value)) or not norm(product):
            return Eigenvalue(value, count, converged=True)
        vector = _unit(product)
    return Eigenvalue(value, max_products, converged=False)


def _unit(vector: Vector) -> Vector:
    length = norm(vector)
    return [part / length for part in vector]

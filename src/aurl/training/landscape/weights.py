"""Weights that are moved about for a while, and put back bit by bit."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Vector = list[Tensor]
"""A tensor for each parameter of a model: a direction to move its weights in, or a gradient."""


def parameters_of(model: nn.Module) -> Vector:
    """The parameters that are moved: all that have a gradient."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


@contextmanager
def moving(parameters: Sequence[Tensor]) -> Iterator[Vector]:
    """Copies of what `parameters` are, to move them from; at the end they are that again, whatever happened."""
    centre = [parameter.detach().clone() for parameter in parameters]
    try:
        yield centre
    finally:
        place(parameters, centre)


@torch.no_grad()
def place(parameters: Sequence[Tensor], centre: Sequence[Tensor], *steps: tuple[float, Sequence[Tensor]]) -> None:
    """Make `parameters` the `centre` and so much of each direction; with steps of 0 exactly the centre."""
    for index, (parameter, middle) in enumerate(zip(parameters, centre, strict=True)):
        parameter.copy_(middle)
        for length, direction in steps:
            parameter.add_(direction[index], alpha=length)


def dot(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Inner product, in float64 where the device has it."""
    wide = torch.float32 if one[0].device.type == "mps" else torch.float64
    products = [(a.to(wide) * b.to(wide)).sum() for a, b in zip(one, other, strict=True)]
    return float(torch.stack(products).sum())


def norm(vector: Sequence[Tensor]) -> float:
    """Euclidean length."""
    return math.sqrt(dot(vector, vector))

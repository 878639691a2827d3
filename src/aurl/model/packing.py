"""Weights laid out for few rows: what a decode step multiplies.

torch's own `linear` runs few rows through MKL, which reads the weights at a third of the memory's speed and rounds
differently for 1, 2, 3 and more rows. oneDNN with weights packed beforehand took 81 µs instead of 145 µs for 1 row and
121 µs instead of 326 µs for 16 rows (256 × 2048, one AVX-512 core), and its sums do not depend on the number of rows,
so that a piece comes out the same in any batch. Only a single row of wide layers goes through another routine; such a
row is multiplied twice.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

ROWS = 16
"""The packing is chosen for about this many rows."""
M = TypeVar("M", bound=nn.Module)


class PackedLinear(nn.Module):
    """A linear layer without bias whose weights cannot be changed any more.

    Args:
        weight: (out, in), float32 on the CPU.

    Attributes:
        weight: empty; tells type and device.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.weight = weight.new_empty(0)
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
        probe = torch.arange(2.0 * self.in_features).sin_().view(2, -1)
        self._pairs_up = not torch.equal(self._multiply(probe[:1]), self._multiply(probe)[:1])

    def forward(self, x: Tensor) -> Tensor:
        """`(…, in)` → `(…, out)`."""
        if self._pairs_up and x.numel() == self.in_features:
            return self._multiply(x.expand(2, *x.shape[1:]))[:1]
        return self._multiply(x)

    def _multiply(self, x: Tensor) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, None, "none", [], "")
        return product


def can_pack(weight: Tensor) -> bool:
    """This torch and this machine have the packed routines for `weight`."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and weight.device.type == "cpu" and weight.dtype == torch.float32


def fixed_linear(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """Multiplication by `weight` `(out, in)`, packed where that is possible."""
    return PackedLinear(weight) if can_pack(weight) else partial(linear, weight=weight)


def pack_linears(model: M) -> M:
    """`model` itself, for inference only: its linear layers without bias packed where that is possible."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and set(child.state_dict()) == {"weight"} and can_pack(child.weight):
                setattr(parent, name, PackedLinear(child.weight.detach()))
    return model

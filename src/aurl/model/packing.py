"""Weights laid out for few rows: what a decode step multiplies.

At few rows a product takes as long as reading its weights, and torch's own `linear` rounds differently for 1, 2, 3 and
more rows. FBGEMM's products of fp32 rows with weights kept in fp16 read half as much (all products of `small` for 1
row: 190 µs, not 620, for 16 rows: 720 µs, not 1,270), sum in fp32, and give each row the same sums whatever the number
of rows, so that a piece comes out the same in any batch. Weights lose up to 2⁻¹² of themselves, which changed
the likelihood of real music by 0.00003 nats/token.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

LARGEST = torch.finfo(torch.float16).max
DIRECT = "fbgemm_linear_fp16_weight_fp32_activation"
ENGINES = {"x86", "fbgemm"}
"""Of torch's quantized engines those that are FBGEMM."""
M = TypeVar("M", bound=nn.Module)


class PackedLinear(nn.Module):
    """A linear layer without bias whose weights cannot be changed any more.

    Args:
        weight: (out, in), see `can_pack`.

    Attributes:
        weight: empty; tells type and device.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.weight = weight.new_empty(0)
        self.multiply = packed_product(weight)

    def forward(self, x: Tensor) -> Tensor:
        """`(…, in)` → `(…, out)`."""
        return self.multiply(x)


def packed_product(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """Multiplication by `weight` `(out, in)`, through the entry that costs 1 µs, not 8, for as long as torch has it."""
    if not hasattr(torch, DIRECT):
        prepacked = torch.ops.quantized.linear_prepack_fp16(weight, None)
        return partial(torch.ops.quantized.linear_dynamic_fp16.default, W_prepack=prepacked)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch says, once in a process, that it will go some day
        packed = torch.fbgemm_pack_gemm_matrix_fp16(weight)
        multiply = partial(getattr(torch, DIRECT), packed_weight=packed)
        try:
            multiply(weight.new_zeros(1, weight.shape[1]), bias=None)
        except TypeError:  # older torch wants one
            return partial(multiply, bias=weight.new_zeros(len(weight)))
    return partial(multiply, bias=None)


def can_pack(weight: Tensor) -> bool:
    """This torch and this machine have the packed routines for `weight`, and fp16 has numbers for it."""
    available = torch.backends.quantized.engine in ENGINES and weight.device.type == "cpu"
    return available and weight.dtype == torch.float32 and weight.abs().max().item() <= LARGEST


def pack_linears(model: M) -> M:
    """`model` itself, for inference only: its linear layers without bias packed where that is possible."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and set(child.state_dict()) == {"weight"} and can_pack(child.weight):
                setattr(parent, name, PackedLinear(child.weight.detach()))
    return model

"""AdamW, with weight decay on matrices only, and its state as named tensors."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from aurl.errors import DamagedError

FUSED_DEVICES = ("cpu", "cuda", "mps", "xpu")


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: matrices (and anything of more dimensions) decay; gains and biases do not."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trained if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim < 2], "weight_decay": 0.0},
    ]


def build_optimizer(model: nn.Module, *, lr: float, betas: tuple[float, float], weight_decay: float) -> Optimizer:
    """Fused AdamW over the model's trained parameters, on whatever device they are."""
    device = next(model.parameters()).device.type
    return AdamW(decay_groups(model, weight_decay), lr=lr, betas=betas, fused=device in FUSED_DEVICES)


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Give every group the rate `lr`."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def _names(model: nn.Module) -> dict[Tensor, str]:
    return {parameter: name for name, parameter in model.named_parameters()}


def optimizer_tensors(optimizer: Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """The optimizer's state as `KEY:PARAMETER` → tensor, independent of the order of parameters."""
    names = _names(model)
    return {
        f"{key}:{names[parameter]}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def load_optimizer_tensors(optimizer: Optimizer, model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave.

    Raises:
        DamagedError: the tensors are not those of this model.
    """
    parameters = dict(model.named_parameters())
    for name, tensor in tensors.items():
        key, _, owner = name.partition(":")
        parameter = parameters.get(owner)
        if parameter is None or tensor.shape not in (parameter.shape, torch.Size([])):
            raise DamagedError(f"the optimizer state {name!r} does not fit the model")
        device = parameter.device if tensor.ndim or optimizer.defaults.get("fused") else "cpu"
        optimizer.state[parameter][key] = tensor.to(device)

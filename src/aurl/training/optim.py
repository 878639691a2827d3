"""Optimizers (a registry), and their state as named tensors."""

from collections.abc import Iterable
from typing import Annotated, Any, cast

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from aurl.errors import DamagedError
from aurl.model.lora import is_adapter
from aurl.registry import Registry
from aurl.training.lion import Lion
from aurl.training.sharding import divided_as

FUSED_DEVICES = ("cpu", "cuda", "mps", "xpu")
HIDDEN = ("decoder.", "encoder.", "latent_stream.")
"""Names of the matrices that Muon is for: maps between hidden states.

Tables of ids (embedding, bags, echo) and priors are AdamW's. After 150 steps of a tiny vae on POP909 the loss was 5.02,
with Muon for all but the embedding 5.02 too (and behind until then), with Muon for transformer blocks alone 5.25.
"""

Rate = Annotated[float, Ge(0), Lt(1)]

OPTIMIZERS: Registry[Optimizer] = Registry("optimizer")
"""Factories are called with (model, lr, weight_decay) and the options of the profile. Only matrices decay."""


@OPTIMIZERS.register("adamw")
def adamw(model: nn.Module, lr: float, weight_decay: float, *, betas: tuple[Rate, Rate] = (0.9, 0.95)) -> AdamW:
    """Each parameter at its own pace (Loshchilov & Hutter, ICLR 2019)."""
    return _adamw(decay_groups(_trained(model).values(), weight_decay), lr, betas)


@OPTIMIZERS.register("lion")
def lion(model: nn.Module, lr: float, weight_decay: float, *, betas: tuple[Rate, Rate] = (0.9, 0.99)) -> Lion:
    """The sign of a momentum (Chen et al. 2023), half of AdamW's memory; wants lr 3 to 10 times smaller.

    Args:
        model: whose parameters are trained.
        lr: learning rate.
        weight_decay: of matrices.
        betas: share of the momentum in a step, and in the momentum after it.
    """
    return Lion(decay_groups(_trained(model).values(), weight_decay), lr=lr, betas=betas)


@OPTIMIZERS.register("muon")
def muon(
    model: nn.Module,
    lr: float,
    weight_decay: float,
    *,
    momentum: Rate = 0.95,
    betas: tuple[Rate, Rate] = (0.9, 0.95),
) -> "MuonWithAdamW | AdamW":
    """Orthogonal updates of the hidden matrices (Jordan et al. 2024), AdamW for the rest, at one learning rate."""
    trained = _trained(model)
    hidden = [parameter for name, parameter in trained.items() if parameter.ndim == 2 and _is_hidden(name)]
    if not hidden:
        return _adamw(decay_groups(trained.values(), weight_decay), lr, betas)
    known = set(hidden)
    rest = [parameter for parameter in trained.values() if parameter not in known]
    return MuonWithAdamW(
        # Updates as large as AdamW's, so that one rate and one decay serve both (Liu et al. 2025, arXiv 2502.16982).
        Muon(hidden, lr=lr, momentum=momentum, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
        _adamw(decay_groups(rest, weight_decay), lr, betas),
    )


class MuonWithAdamW(Optimizer):
    """Two optimizers, each with parameters of its own, that look like one.

    Groups and state are this one's. They are lent to the two at every step, for whoever loads a state (Accelerate does
    on wrapping an optimizer) puts new ones in their place: rates set and states saved here would no longer be theirs.
    """

    def __init__(self, hidden: Muon, rest: AdamW) -> None:
        super().__init__([*hidden.param_groups, *rest.param_groups], {"fused": rest.defaults["fused"]})
        self._parts = (hidden, rest)
        self._hidden_groups = len(hidden.param_groups)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        if closure is not None:
            raise ValueError("no closure is taken: gradients are computed before the step")
        hidden, rest = self._parts
        hidden.param_groups = self.param_groups[: self._hidden_groups]
        rest.param_groups = self.param_groups[self._hidden_groups :]
        for part in self._parts:
            part.state = self.state
            part.step()  # type: ignore[no-untyped-call]


def decay_groups(parameters: Iterable[Tensor], weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: matrices (and anything of more dimensions) decay; gains and biases do not."""
    trained = list(parameters)
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _is_hidden(name: str) -> bool:
    """Whether a matrix is Muon's; those of adapters are narrow, and one of each pair is 0 at first."""
    return name.startswith(HIDDEN) and not is_adapter(name)


def _trained(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _adamw(groups: list[dict[str, Any]], lr: float, betas: tuple[float, float]) -> AdamW:
    device = cast("list[Tensor]", groups[0]["params"])[0].device.type
    return AdamW(groups, lr=lr, betas=betas, fused=device in FUSED_DEVICES)


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
        if not parameter.requires_grad:  # it learned in a stage that has ended
            continue
        device = parameter.device if tensor.ndim or optimizer.defaults.get("fused") else "cpu"
        optimizer.state[parameter][key] = divided_as(tensor.to(device), parameter)

"""Weights, gradients and optimizer state divided among the processes (FSDP, torch's own `fully_shard`).

Accelerate's plugin is left out: on CPUs it does nothing, and elsewhere it sets a variable of the environment that the
next run of the same process would hear. Everything else is as without: the same update, the same checkpoints.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim.swa_utils import AveragedModel

from aurl.errors import UsageError
from aurl.model.layers import Block
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.model.weights import load_weights, read_weights
from aurl.profile import Profile

FULL = "full"


def check_sharding(profile: Profile) -> None:
    """Make sure that what the profile asks for can be trained with divided weights.

    Raises:
        UsageError: it cannot.
    """
    training = profile.training
    if training.sharding != FULL:
        return
    faults = {
        'model.mode = "vae_gan": the discriminator listens to the generator outside of its forward pass': (
            profile.model.mode == "vae_gan"
        ),
        'training.optimizer = "muon": it needs whole matrices; take "adamw" or "lion"': (
            training.optimizer["kind"] == "muon"
        ),
        "latent.batch_norm: each process would keep statistics of its own": (
            profile.model.mode != "transformer" and profile.latent.batch_norm
        ),
        'training.precision = "fp16": its loss scale is not divided; take "bf16"': training.precision == "fp16",
    }
    for fault, is_so in faults.items():
        if is_so:
            raise UsageError(f'training.sharding = "full" does not go with {fault}', hint="or leave sharding out")


class Sharded(nn.Module):
    """A model whose weights are divided, as an update sees it.

    Args:
        plain: a whole model, whose weights are divided, block by block, and put on the accelerator's device.
        accelerator: of all processes.

    Attributes:
        whole: for validation and samples.
    """

    def __init__(self, plain: MusicTransformerVAEGAN, accelerator: Accelerator) -> None:
        super().__init__()
        self.whole = Whole(plain)
        mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
        for block in [module for module in plain.modules() if isinstance(module, Block)]:
            fully_shard(block, mesh=mesh)
        fully_shard(plain, mesh=mesh)  # in place
        self.module: nn.Module = plain
        # Only for its autocast: asked to train, it would put DDP around the model.
        accelerator.prepare_model(plain, device_placement=False, evaluation_mode=True).train()

    def forward(self, *inputs: Any, **known: Any) -> Any:
        """What the model makes of them; every process must call this equally often."""
        return self.module(*inputs, **known)

    @property
    def shards(self) -> "Shards":
        """What averages follow."""
        return Shards(self.module)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients of what is computed inside stay with this process until the next pass outside of it."""
        module = cast("FSDPModule", self.module)
        module.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            module.set_requires_gradient_sync(True)


class Shards(nn.Module):
    """This process's parts of all parameters, in the same memory: what averages follow.

    Args:
        model: its weights are divided already.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        parts = (part_of(parameter.detach()) for parameter in model.parameters())
        self.parts = nn.ParameterList(nn.Parameter(part, requires_grad=False) for part in parts)


class Whole:
    """A model that is not divided, for validation and samples: filled when it is needed, and kept off the GPU.

    Args:
        plain: before it is divided.
    """

    def __init__(self, plain: MusicTransformerVAEGAN) -> None:
        self.model = deepcopy(plain).cpu().eval().requires_grad_(False)

    @contextmanager
    def filled(self, weights: Mapping[str, Tensor], device: torch.device) -> Iterator[MusicTransformerVAEGAN]:
        """The model with `weights`, which are gathered, on `device`; all processes call this."""
        self.model.load_state_dict(gathered(weights))
        yield self.model.to(device)
        self.model.cpu()


def followed(model: nn.Module, plain: nn.Module) -> nn.Module:
    """What averages follow of a model: `plain`, or this process's parts of it where `model` is divided."""
    return model.shards if isinstance(model, Sharded) else plain


def part_of(tensor: Tensor) -> Tensor:
    """This process's part of a divided tensor, in the same memory; any other tensor as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """A divided tensor as one (all processes call this); any other as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def divided_as(tensor: Tensor, parameter: Tensor) -> Tensor:
    """A whole tensor divided as `parameter` is, on its device (all processes call this); whole where that is."""
    if isinstance(parameter, DTensor) and tensor.ndim:
        return distribute_tensor(tensor.to(parameter.device), parameter.device_mesh, parameter.placements)
    return tensor


def gathered(tensors: Mapping[str, Tensor], *, keep: bool = True) -> dict[str, Tensor]:
    """Whole tensors by their names, those that were divided on the CPU; all processes call this.

    Args:
        tensors: some of them divided.
        keep: whether this process needs them.
    """
    found = {}
    for name, tensor in tensors.items():
        is_divided = isinstance(tensor, DTensor)
        one = whole(tensor.detach())
        if keep:
            found[name] = one.cpu() if is_divided else one
    return found


def averaged_weights(average: AveragedModel, plain: nn.Module) -> dict[str, Tensor]:
    """The state of `plain` with the weights of `average`, which followed its `Shards`; still divided."""
    parameters = zip(plain.named_parameters(), average.parameters(), strict=True)
    return plain.state_dict() | {name: _joined(part, parameter) for (name, parameter), part in parameters}


def load_average(average: AveragedModel, plain: nn.Module, path: Path) -> None:
    """Bring an average to what `averaged_weights`, gathered, or the state of a whole one was; all processes call this.

    Raises:
        DamagedError: the file cannot be read or does not fit the model.
    """
    if not any(isinstance(parameter, DTensor) for parameter in plain.parameters()):
        load_weights(average.module, path)
        return
    tensors = read_weights(path)
    for (name, parameter), part in zip(plain.named_parameters(), average.parameters(), strict=True):
        part.copy_(part_of(divided_as(tensors[name], parameter)))


def _joined(part: Tensor, parameter: Tensor) -> Tensor:
    if not isinstance(parameter, DTensor):
        return part
    return DTensor.from_local(
        part.detach(),
        parameter.device_mesh,
        parameter.placements,
        run_check=False,
        shape=parameter.shape,
        stride=parameter.stride(),
    )

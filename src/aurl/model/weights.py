"""Weights as safetensors files: nothing in them can run."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from aurl.errors import DamagedError
from aurl.model.lora import is_adapter, merged
from aurl.storage import write_bytes


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the state of `model`, atomically."""
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    write_bytes(path, save(state))


def load_weights(model: nn.Module, path: Path) -> None:
    """Read `path` into `model`; every tensor must be there with its shape, and no other.

    Adapters that the model does not have are added to the weights that they adapt.

    Raises:
        DamagedError: the file cannot be read or does not fit the model.
    """
    load_state(model, read_weights(path), path)


def load_state(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """The same for a state that was read from `path`."""
    wanted = model.state_dict()
    if not any(map(is_adapter, wanted)):
        state = merged(state)
    fault = _first_fault(wanted, state)
    if fault:
        raise DamagedError(f"{path}: {fault}", hint="these weights belong to a model of another size or version")
    model.load_state_dict(state, strict=True)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file.

    Raises:
        DamagedError: it cannot be read.
    """
    try:
        state: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DamagedError(f"{path}: not readable as weights ({error})", hint="use an earlier checkpoint") from error
    return state


def _first_fault(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            return f"tensor {name!r} is missing"
        if name not in wanted:
            return f"tensor {name!r} is unknown to this model"
        if wanted[name].shape != found[name].shape:
            return f"tensor {name!r} has shape {tuple(found[name].shape)}, the model needs {tuple(wanted[name].shape)}"
        if wanted[name].dtype != found[name].dtype:
            return f"tensor {name!r} has type {found[name].dtype}, the model needs {wanted[name].dtype}"
    return ""

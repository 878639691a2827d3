"""Weights as safetensors files: nothing in them can run."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from aurl.errors import DamagedError
from aurl.storage import write_bytes


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the state of `model`, atomically."""
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    write_bytes(path, save(state))


def load_weights(model: nn.Module, path: Path) -> None:
    """Read `path` into `model`; every tensor must be there with its shape, and no other.

    Raises:
        DamagedError: the file cannot be read or does not fit the model.
    """
    state = _read(path)
    fault = _first_fault(model.state_dict(), state)
    if fault:
        raise DamagedError(f"{path}: {fault}", hint="these weights belong to a model of another size or version")
    model.load_state_dict(state, strict=True)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DamagedError(f"{path}: not readable as weights ({error})", hint="use an earlier checkpoint") from error
    return state


def _first_fault(wanted: dict[str, Tensor], found: dict[str, Tensor]) -> str:
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

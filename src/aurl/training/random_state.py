"""The state of torch's generators, the only global ones that training draws from (dropout), as tensors.

Everything else that is random (order of windows, samples) is a pure function of the profile's seed and a position.
"""

import torch
from torch import Tensor

from aurl.errors import DamagedError

_RANK_STRIDE = 1_000_003
"""Keeps the processes of one run, and runs with neighbouring seeds, apart."""


def seed_process(seed: int, rank: int) -> None:
    """Start the generators of process `rank` anew; processes differ, runs with the same seed do not."""
    torch.manual_seed(seed + rank * _RANK_STRIDE)


def random_tensors(device: torch.device) -> dict[str, Tensor]:
    """State of the CPU's generator, and of the GPU's if that is where the model is."""
    tensors = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        tensors["cuda"] = torch.cuda.get_rng_state(device)
    return tensors


def set_random_tensors(tensors: dict[str, Tensor], device: torch.device) -> None:
    """Put the generators back to where `random_tensors` found them.

    Raises:
        DamagedError: a state is missing or not one.
    """
    try:
        torch.set_rng_state(tensors["cpu"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(tensors["cuda"], device)
    except (KeyError, RuntimeError, TypeError) as error:
        raise DamagedError(f"the random state is not usable: {error}") from error

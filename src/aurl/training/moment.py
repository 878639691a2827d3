"""What an update that is done again has to find as it was."""

from collections.abc import Sequence

from accelerate import Accelerator
from torch import nn

from aurl.training.random_state import random_tensors, set_random_tensors


class Moment:
    """What models and generators are before forward and backward passes, which change them.

    Args:
        accelerator: counts passes.
        modules: whose gradients, None by then, and buffers are kept.
        thorough: buffers, too; they are copied.
    """

    def __init__(self, accelerator: Accelerator, modules: Sequence[nn.Module], *, thorough: bool) -> None:
        self._accelerator, self._modules = accelerator, modules
        self._passes = accelerator.step
        self._random = random_tensors(accelerator.device)
        buffers = [buffer for module in modules for buffer in module.buffers()] if thorough else []
        self._buffers = [(buffer, buffer.clone()) for buffer in buffers]

    def restore(self) -> None:
        """Go back to it."""
        self._accelerator.step = self._passes
        set_random_tensors(self._random, self._accelerator.device)
        for parameter in (parameter for module in self._modules for parameter in module.parameters()):
            parameter.grad = None
        for buffer, before in self._buffers:
            buffer.copy_(before)

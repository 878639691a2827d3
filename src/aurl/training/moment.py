"""What an update that is done again has to find as it was."""

from collections.abc import Iterable, Sequence
from copy import copy
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn

from aurl.training.random_state import random_tensors, set_random_tensors


class Moment:
    """Everything that forward and backward passes change, before them: random numbers, buffers, what listens to them.

    Args:
        accelerator: counts passes.
        modules: whose gradients, None by then, and buffers are kept.
        listeners: objects that passes may change; nothing below their attributes is, but tensors, dicts and lists.
        thorough: buffers and listeners, too; they are copied.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        modules: Sequence[nn.Module],
        listeners: Iterable[object] = (),
        *,
        thorough: bool,
    ) -> None:
        self._accelerator, self._modules = accelerator, modules
        self._passes = accelerator.step
        self._random = random_tensors(accelerator.device)
        buffers = [buffer for module in modules for buffer in module.buffers()] if thorough else []
        self._buffers = [(buffer, buffer.clone()) for buffer in buffers]
        self._listeners = [(one, _kept(vars(one))) for one in (listeners if thorough else ())]

    def restore(self) -> None:
        """Go back to it."""
        self._accelerator.step = self._passes
        set_random_tensors(self._random, self._accelerator.device)
        for parameter in (parameter for module in self._modules for parameter in module.parameters()):
            parameter.grad = None
        for buffer, before in self._buffers:
            buffer.copy_(before)
        for one, before in self._listeners:
            vars(one).clear()
            vars(one).update(_kept(before))


def _kept(value: Any) -> Any:
    """A copy of tensors, and of containers with all that they hold; anything else is only referred to."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if not isinstance(value, dict | list):
        return value
    kept = copy(value)
    for key in value if isinstance(value, dict) else range(len(value)):
        kept[key] = _kept(value[key])
    return kept

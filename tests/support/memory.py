"""A memory that is too small, for tests: allocations fail where a model is given too many windows at once."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from aurl.model.vae_gan import MusicTransformerVAEGAN


@contextmanager
def memory_for(rows: int) -> Iterator[list[int]]:
    """Backward passes of more rows fail inside, as on a GPU; yields the rows of all that were begun."""
    begun: list[int] = []

    def fail(gradient: Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        if isinstance(module, MusicTransformerVAEGAN) and module.training:
            begun.append(len(inputs[0]))
            logits: Tensor = getattr(output, "logits", output)  # type: ignore[assignment]
            if len(inputs[0]) > rows:
                logits.register_hook(fail)

    hook = register_module_forward_hook(watch)
    try:
        yield begun
    finally:
        hook.remove()

"""Second derivatives: inside a block, the model is made of operations whose backward pass has one of its own.

What trains fastest on a CPU knows its first derivative only; training never asks for more, but curvature does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch.nn.attention import SDPBackend, sdpa_kernel

_TWICE = ContextVar("twice", default=False)


@contextmanager
def differentiable_twice() -> Iterator[None]:
    """What is computed inside can be differentiated twice; it is slower, and takes more memory."""
    before = _TWICE.set(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        _TWICE.reset(before)


def is_twice() -> bool:
    """Whether the code that asks is inside such a block."""
    return _TWICE.get()

"""What is done to logits before one id is drawn: the registry, and what a kind can do."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from aurl.registry import Registry


class Filter(Protocol):
    """Changes scores before they are divided by the temperature; a factory's options are its keywords."""

    def __call__(self, scores: Tensor, histories: Sequence[Sequence[int]]) -> Tensor:
        """New scores.

        Args:
            scores: (B, V) logits, −inf where an id is not allowed; not to be changed in place.
            histories: ids of each row so far.
        """
        ...


FILTERS: Registry[Filter] = Registry("filter")

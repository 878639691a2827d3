"""What a decoder remembers between two steps of generation."""

from collections.abc import Sequence

from torch import Tensor

from aurl.model.attention import LayerCache
from aurl.model.elapsed import Clock
from aurl.model.step import Step

HEARD_TOGETHER = 32
"""Tokens for which it is computed at once what layers hear of latents: a step of a small model, whose weights come from
the memory one by one, is then not longer by what the projections weigh."""


class Cache:
    """Keys and values of every layer, and where in the music each row stands.

    Rows have the same number of tokens; time differs from row to row.

    Args:
        layers: one per decoder layer.
        step: the decoder for single tokens, with the weights of the moment in which the cache was made.
        capacity: most tokens that may be appended.
        stream: (B, capacity, size) what latents say at each of them, None without latents.
    """

    def __init__(self, layers: list[LayerCache], step: Step, capacity: int, stream: Tensor | None = None) -> None:
        self.stream = stream
        self._heard: Tensor | None = None
        self._heard_from = 0
        self.layers = layers
        self.step = step
        self.capacity = capacity
        self.length = 0
        self.elapsed_steps: Tensor | None = None
        self.clock: Clock | None = None
        """After ids that came together; ids that come one by one leave out no span."""

    def advance(self, elapsed_steps: Tensor) -> None:
        """Take note of new tokens whose times are `elapsed_steps` `(B, T)`.

        Raises:
            ValueError: there is no room for them.
        """
        self.length += elapsed_steps.shape[1]
        if self.length > self.capacity:
            raise ValueError(f"cache of {self.capacity} tokens cannot hold {self.length}")
        self.elapsed_steps = elapsed_steps[:, -1]

    def told(self, begin: int) -> Tensor | None:
        """What latents say at the tokens from `begin` to those that came last, `(B, T, size)`."""
        return None if self.stream is None else self.stream[:, begin : self.length]

    def heard(self, index: int) -> Sequence[Tensor] | None:
        """What each layer, and then the output, hears of latents at one token, `(B, d_model)` each."""
        if self.stream is None:
            return None
        first = index // HEARD_TOGETHER * HEARD_TOGETHER
        if self._heard is None or self._heard_from != first:
            self._heard, self._heard_from = self.step.hear(self.stream[:, first : first + HEARD_TOGETHER]), first
        return self._heard[index - first].unbind()

    def select(self, rows: Tensor) -> None:
        """Keep only these batch rows (indices, `(n,)`), in this order: how finished pieces leave a batch."""
        for layer in self.layers:
            layer.select(rows)
        if self.elapsed_steps is not None:
            self.elapsed_steps, self.clock = self.elapsed_steps[rows], None
        if self.stream is not None:
            self.stream, self._heard = self.stream[rows], None

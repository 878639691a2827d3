"""What a decoder remembers between two steps of generation."""

from torch import Tensor

from aurl.model.attention import LayerCache
from aurl.model.step import Step


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
        self.layers = layers
        self.step = step
        self.capacity = capacity
        self.length = 0
        self.elapsed_steps: Tensor | None = None

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

    def select(self, rows: Tensor) -> None:
        """Keep only these batch rows (indices, `(n,)`), in this order: how finished pieces leave a batch."""
        for layer in self.layers:
            layer.select(rows)
        if self.elapsed_steps is not None:
            self.elapsed_steps = self.elapsed_steps[rows]
        if self.stream is not None:
            self.stream = self.stream[rows]

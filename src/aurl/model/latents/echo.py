"""What latents alone tell of each id in its place: the shortest way from an id to its latents and back."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

SHARE = 4
"""One position in so many is asked, another set in every step: logits of all of them cost a sixth of the memory."""


class Echo(NamedTuple):
    """Ids as latents alone tell them.

    Args:
        logits: (B, K, V).
        positions: (K,) where in the window.
    """

    logits: Tensor
    positions: Tensor


class EchoHead(nn.Module):
    """One linear layer from the stream to the ids, without any past.

    A decoder that sees the past learns to do without its latents long before they could tell it anything. Through this
    they tell something from the first minutes on (docs/experiments.md).

    Args:
        stream_size: dimensions of the stream.
        vocabulary_size: ids known.
    """

    def __init__(self, stream_size: int, vocabulary_size: int) -> None:
        super().__init__()
        self.out = nn.Linear(stream_size, vocabulary_size)

    def forward(self, stream: Tensor) -> Echo:
        """Of some positions of the stream `(B, T, stream_size)`, drawn anew each time."""
        length, share = stream.shape[1], min(SHARE, stream.shape[1])
        first = int(torch.randint(share, ()))
        positions = torch.arange(first, length, share, device=stream.device)
        return Echo(self.out(stream.index_select(1, positions)), positions)

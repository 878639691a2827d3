"""Moments in which the next id is to be chosen: logits, what is legal, what was there before."""

from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

from aurl.tokens.codec import Codec

SIZE = Codec().vocabulary_size


class Moments(NamedTuple):
    """Some rows: `(B, V)` logits, bias 0 or −inf with at least one 0 in each row, and ids so far."""

    logits: Tensor
    bias: Tensor
    histories: list[list[int]]

    @property
    def scores(self) -> Tensor:
        return self.logits + self.bias


def some_moments(rows: int, *, seed: int = 0, spread: float = 3.0, legal: float = 1.0, length: int = 60) -> Moments:
    """Histories are of few ids, so that much comes again."""
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(rows, SIZE, generator=generator)
    bias = torch.where(torch.rand(rows, SIZE, generator=generator) < legal, 0.0, -torch.inf)
    bias[torch.arange(rows), torch.randint(SIZE, (rows,), generator=generator)] = 0
    few = torch.tensor([60, 62, 64, 188, 190, 260, 300, 768, 780])
    histories = few[torch.randint(len(few), (rows, length), generator=generator)].tolist()
    return Moments(logits, bias, histories)


@st.composite
def moments(draw: st.DrawFn) -> Moments:
    """From flat to sharp logits, from all ids legal to one, histories short and long."""
    return some_moments(
        draw(st.integers(1, 5)),
        seed=draw(st.integers(0, 2**32)),
        spread=draw(st.sampled_from([0.0, 0.1, 1.0, 4.0, 30.0])),
        legal=draw(st.sampled_from([0.0, 0.01, 0.2, 1.0])),
        length=draw(st.integers(0, 90)),
    )

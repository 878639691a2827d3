"""The time at which each id stands, where streams may jump.

A stream that leaves out a span is told as `header SEP left MASK SEP TIME_SHIFT* right SEP middle`: the shifts behind
the second SEP last as long as the span, and the third SEP leads back to where it began.
"""

from typing import NamedTuple

import torch
from torch import Tensor

OPENS, RETURNS = 2, 3
"""The second SEP of a stream opens a gap, the third returns to its beginning."""


class Clock(NamedTuple):
    """Where rows of ids stand.

    Args:
        steps: (B,) time.
        seps: (B,) how many SEPs there have been.
        gap: (B,) when the gap opened; means nothing before.
    """

    steps: Tensor
    seps: Tensor
    gap: Tensor

    @classmethod
    def at(cls, steps: Tensor) -> "Clock":
        """The clock at the start of rows that begin at `steps` `(B,)`."""
        return cls(steps, torch.zeros_like(steps), steps)


def tell(clock: Clock, shifts: Tensor, is_sep: Tensor) -> tuple[Tensor, Clock]:
    """`(B, T)` time after each id, for ids that last `shifts` `(B, T)`; and the clock behind them."""
    steps = shifts.cumsum(1) + clock.steps[:, None]
    seps = is_sep.cumsum(1) + clock.seps[:, None]
    # Time never falls before the third SEP, so the last time in front of one is the greatest.
    before = clock.steps[:, None]
    opened = torch.where(seps < OPENS, steps, before).amax(1)
    gap = torch.where(clock.seps < OPENS, opened, clock.gap)
    returned = torch.where(seps < RETURNS, steps, before).amax(1)
    jump = torch.where(clock.seps < RETURNS, returned - gap, 0)
    steps = steps - torch.where(seps >= RETURNS, jump[:, None], 0)
    return steps, Clock(steps[:, -1], seps[:, -1], gap)

"""Which windows a piece that is too long for one falls into: kinds of `data.truncation`."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt, Le

from aurl.data.shards import Ids
from aurl.data.windows import Tiling, Windows
from aurl.registry import Registry
from aurl.tokens.positions import elapsed_steps

Keep = Literal["all", "start", "anywhere"]
MAX_MARGIN = 1 / 16
"""More would let the boundaries of a piece's shortest windows, a quarter long, meet."""


@dataclass(frozen=True, slots=True)
class Truncation:
    """How pieces are cut.

    Args:
        keep: which windows of a piece are used: all, the first, or one by chance.
        margin: how far a boundary moves to where music begins, at most, in shares of a window.
    """

    keep: Keep = "all"
    margin: float = 0.0

    def tile(self, tiling: Tiling) -> Windows:
        """Windows that are always the same: the fewest, from the start of each piece; one each where one is kept."""
        windows = tiling.tile()
        return windows if self.keep == "all" else windows.take(windows.first == 1)

    def draw(self, tiling: Tiling, rng: np.random.Generator) -> Windows:
        """Windows with random boundaries; the start of a piece is always the same."""
        if self.keep == "start":
            return self.tile(tiling)
        windows = tiling.draw(rng)
        if self.keep == "all":
            return windows
        begin = np.flatnonzero(np.diff(windows.piece, prepend=-1))
        count = np.diff(begin, append=len(windows))
        return windows.take(begin + rng.integers(0, count))


SLIDING = Truncation()
"""Every target once."""
TRUNCATION: Registry[Truncation] = Registry("truncation")


@TRUNCATION.register("sliding_window")
def sliding_window() -> Truncation:
    """Windows side by side over the whole piece; where one ends and the next begins changes in each epoch."""
    return SLIDING


@TRUNCATION.register("truncate")
def truncate(*, keep: Literal["start", "anywhere"] = "start") -> Truncation:
    """One window of each piece; the rest is left out of the epoch, and long pieces count no more than short ones.

    Args:
        keep: the start of the piece, or any of its windows, another in each epoch.
    """
    return Truncation(keep=keep)


@TRUNCATION.register("adaptive")
def adaptive(*, margin: Annotated[float, Gt(0), Le(MAX_MARGIN)] = MAX_MARGIN) -> Truncation:
    """Windows side by side that begin where music begins: at bar lines, or after pauses where there are no bars.

    Args:
        margin: how far from its random place a boundary may move, in shares of a window.
    """
    return Truncation(margin=margin)


def settle(ids: Ids, *, start_step: int, boundary: int, bar_steps: int | None) -> int:
    """Where among `ids` a window had better begin: at the first id of a bar, or else after the longest pause.

    It looks at nothing but the ids around the boundary, so both windows that meet there find the same place.

    Args:
        ids: around the boundary, the first of them only to tell whether time passes before the second.
        start_step: time before the first of them.
        boundary: index to be near.
        bar_steps: steps of a bar, None without bars.

    Returns:
        Index of an id that follows a TIME_SHIFT and is none; `boundary` if there is no such id.
    """
    time = elapsed_steps(ids, start_steps=start_step)
    waits = np.diff(time, prepend=start_step) > 0
    # Time never falls, so the largest so far is that of the newest id that is no TIME_SHIFT.
    played = np.maximum.accumulate(np.where(waits, start_step, time))
    begins = 1 + np.flatnonzero(waits[:-1] & ~waits[1:])
    if not len(begins):
        return boundary
    before, now = played[begins - 1], time[begins]
    distance = np.abs(begins - boundary)
    if bar_steps is not None and (opens := now // bar_steps > before // bar_steps).any():
        begins, distance = begins[opens], distance[opens]
        return int(begins[distance.argmin()])
    longest = now - before == (now - before).max()
    return int(begins[longest][distance[longest].argmin()])

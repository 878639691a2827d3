"""Which part of which piece makes one training example: arithmetic on lengths alone.

A piece of N ids has the N - 1 targets 1 … N - 1. Windows divide its targets among them, each target to one window. A
window that begins inside the piece is given the header and `context` ids before its first target; neither is scored.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_SHARE = 4
"""The first and the last window of a piece hold at least 1 / MIN_SHARE of a full window, or the whole piece."""


class Draw(NamedTuple):
    """Where a window got its chance from: what happens to it by chance is a function of these numbers.

    Args:
        seed: of the run.
        epoch: in which it was drawn.
        place: among the windows of that epoch.
    """

    seed: int
    epoch: int
    place: int

    def rng(self, *purpose: int) -> np.random.Generator:
        """The window's own random numbers, from the start; others for each further purpose."""
        return np.random.default_rng((*self, *purpose))


class Window(NamedTuple):
    """A part of a piece, which needs nothing but the piece to be read.

    Args:
        piece: its number in the split.
        first: index of the first target.
        stop: index after the last target.
        draw: its chance, None for a window that is always the same.
    """

    piece: int
    first: int
    stop: int
    draw: Draw | None = None


NOTHING = Window(0, 1, 1)
"""A window without targets."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows as columns.

    Args:
        piece: number of the piece.
        first: index of the first target.
        stop: index after the last target.
        source: seed and epoch that their chance is from, None where they are always the same.
        place: among the windows of that epoch; -1 for a window without a chance.
    """

    piece: NDArray[np.int64]
    first: NDArray[np.int64]
    stop: NDArray[np.int64]
    source: tuple[int, int] | None = None
    place: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, windows: Iterable[Window]) -> "Windows":
        """The bounds of single windows."""
        piece, first, stop, _ = zip(*windows, strict=True)
        return cls(np.array(piece), np.array(first), np.array(stop))

    def __len__(self) -> int:
        return len(self.piece)

    def __iter__(self) -> Iterator[Window]:
        return map(self.at, range(len(self)))

    def take(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> "Windows":
        """Some of them, by number or by mask."""
        place = None if self.place is None else self.place[which]
        return Windows(self.piece[which], self.first[which], self.stop[which], self.source, place)

    def at(self, index: int) -> Window:
        """One window."""
        draw = None
        if self.source is not None and self.place is not None and self.place[index] >= 0:
            draw = Draw(*self.source, int(self.place[index]))
        return Window(int(self.piece[index]), int(self.first[index]), int(self.stop[index]), draw)

    def drawn(self, seed: int, epoch: int) -> "Windows":
        """All windows of an epoch, each with a chance of its own."""
        return replace(self, source=(seed, epoch), place=np.arange(len(self)))

    def filled(self, count: int) -> "Windows":
        """With windows that have nothing to predict, so that there are `count`."""
        missing = count - len(self)
        if not missing:
            return self
        place = None if self.place is None else np.append(self.place, np.full(missing, -1))
        piece, first, stop = (
            np.append(column, [value] * missing)
            for column, value in zip((self.piece, self.first, self.stop), NOTHING, strict=False)
        )
        return Windows(piece, first, stop, self.source, place)


def joined(windows: Sequence[Windows]) -> Windows:
    """The bounds of all of them, in order."""
    return Windows(
        np.concatenate([one.piece for one in windows]),
        np.concatenate([one.first for one in windows]),
        np.concatenate([one.stop for one in windows]),
    )


class Tiling:
    """How the pieces of a split fall into windows.

    Args:
        tokens: ids of each piece.
        header: ids of each piece's header, ≥ 1.
        seq_len: targets of one window at most; it has one id more.
        context: ids before the first target of a window inside a piece, ≥ 1.
        margin: how far a boundary may still be moved, in shares of a window; ≤ 1/16, so that no window vanishes.

    Attributes:
        margin: the same in ids, for each piece.

    Raises:
        ValueError: a window would have no room for a target after header and context.
    """

    def __init__(
        self, tokens: ArrayLike, header: ArrayLike, *, seq_len: int, context: int = 1, margin: float = 0.0
    ) -> None:
        self.context = context
        self._tokens = np.asarray(tokens, np.int64)
        # Where a window that began at the very start of the body would have its first target.
        self._origin = np.asarray(header, np.int64) + context
        span = seq_len + 1 - self._origin
        if len(span) and (span < 1).any():
            longest = int(self._origin.max()) - context
            raise ValueError(f"windows of {seq_len} tokens have no room for more than a header of {longest}")
        self._length = self._tokens - self._origin
        needed = np.maximum(self._length, 1)
        fits = needed <= span
        self.margin: NDArray[np.int64] = np.where(fits, 0, (span * margin).astype(np.int64))
        # Both boundaries of a window may move away from each other.
        self._span = span - 2 * self.margin
        # One window more than needed where the last would be nearly full: room for random boundaries.
        self._count = np.where(fits, 1, -(-(needed + self._span // MIN_SHARE) // self._span))
        self._minimal = -(-needed // self._span)

    def tile(self) -> Windows:
        """The fewest windows, from the start of each piece."""
        return self._windows(self._minimal, np.zeros_like(self._length))

    def draw(self, rng: np.random.Generator) -> Windows:
        """Windows with random boundaries; their number is always the same, and a piece that fits is one window."""
        slack = self._count * self._span - self._length
        room = self._span - self._span // MIN_SHARE
        low, high = np.maximum(slack - room, 0), np.minimum(slack, room)
        shift = np.where(self._count > 1, rng.integers(low, np.maximum(high, low) + 1), 0)
        return self._windows(self._count, shift)

    def inputs(self, windows: Windows) -> NDArray[np.int64]:
        """Ids that a model reads of each window at most: all but the last, boundaries moved as far as they may be."""
        piece, inside = windows.piece, windows.first > 1
        length = windows.stop - 1 - np.where(inside, windows.first - self._origin[piece], 0)
        moving = inside.astype(np.int64) + (windows.stop < self._tokens[piece])
        longest: NDArray[np.int64] = length + moving * self.margin[piece]
        return longest

    def _windows(self, count: NDArray[np.int64], shift: NDArray[np.int64]) -> Windows:
        """`count` windows for each piece, all boundaries moved `shift` targets towards its start."""
        piece = np.repeat(np.arange(len(count)), count)
        place = np.arange(len(piece)) - np.repeat(np.cumsum(count) - count, count)
        begin = place * self._span[piece] - shift[piece]
        first = np.where(place == 0, 1, begin + self._origin[piece])
        stop = np.minimum(begin + self._span[piece] + self._origin[piece], self._tokens[piece])
        return Windows(piece, first, stop)

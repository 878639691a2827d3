"""Time, part and loudness anywhere inside a piece, without reading all that comes before."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aurl.augment.passage import NOT_YET
from aurl.data.pieces import PieceReader
from aurl.data.shards import Ids
from aurl.tokens.vocabulary import PART, TIME_SHIFT, VELOCITY, Group

STRIDE = 256
"""Ids between two landmarks. Each takes six bytes, about a hundredth of what its ids take."""
UNKNOWN = -1
_SHIFT_STEPS = np.zeros(2**16, np.int16)
_SHIFT_STEPS[TIME_SHIFT.start : TIME_SHIFT.stop] = np.arange(1, TIME_SHIFT.size + 1)


class Running(NamedTuple):
    """What the ids before a place in the body leave in force.

    Args:
        step: steps since the start of the piece.
        part: PART, or `NOT_YET`.
        velocity: VELOCITY level, or `NOT_YET`.
    """

    step: int
    part: int
    velocity: int


class Landmarks:
    """What is in force at every `STRIDE`-th id of each piece, looked up when a piece is first read.

    Args:
        tokens: ids of each piece.
        header: ids of each piece's header, whose PARTs are no part of the music.
    """

    def __init__(self, tokens: NDArray[np.int64], header: NDArray[np.int32]) -> None:
        # Landmark 0 is where the body begins, and k > 0 the id STRIDE * k.
        counts = 1 + tokens // STRIDE
        self._begin = np.append(0, np.cumsum(counts))
        self._header = header
        self._steps = np.full(int(self._begin[-1]), UNKNOWN, np.int32)
        self._parts = np.full(len(self._steps), NOT_YET, np.int8)
        self._velocities = np.full(len(self._steps), NOT_YET, np.int8)

    def step(self, piece: int, ids: Ids, place: int) -> int:
        """Steps from the start of a piece to the id at `place`; `ids` are all of the piece's."""
        landmark, begin = self._nearest(piece, ids, place)
        return self._steps.item(landmark) + elapsed_steps(ids[begin:place])

    def nearest(
        self, pieces: PieceReader, piece: NDArray[np.int64], place: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of many places at once the last landmark at or before each: its steps, and which id it stands at.

        For places inside a header that is where the body begins.
        """
        header = self._header[piece].astype(np.int64)
        number = np.where(place // STRIDE * STRIDE <= header, 0, place // STRIDE)
        landmark = self._begin[piece] + number
        for one in np.unique(piece[self._steps[landmark] == UNKNOWN]).tolist():
            self._survey(one, pieces.piece(one))
        return self._steps[landmark].astype(np.int64), np.where(number > 0, number * STRIDE, header)

    def running(self, piece: int, ids: Ids, place: int) -> Running:
        """Everything in force before the id at `place`."""
        landmark, begin = self._nearest(piece, ids, place)
        tail = ids[begin:place]
        return Running(
            self._steps.item(landmark) + elapsed_steps(tail),
            _last(tail, PART, int(self._parts[landmark])),
            _last(tail, VELOCITY, int(self._velocities[landmark])),
        )

    def _nearest(self, piece: int, ids: Ids, place: int) -> tuple[int, int]:
        """The last landmark at or before `place`, and which id it stands at."""
        number, header = place // STRIDE, self._header.item(piece)
        if number * STRIDE <= header:
            number = 0
        landmark = self._begin.item(piece) + number
        if self._steps.item(landmark) == UNKNOWN:
            self._survey(piece, ids)
        return landmark, number * STRIDE or header

    def _survey(self, piece: int, ids: Ids) -> None:
        header, rows = int(self._header[piece]), slice(int(self._begin[piece]), int(self._begin[piece + 1]))
        marks = np.arange(rows.stop - rows.start) * STRIDE
        time = np.append(0, np.cumsum(_SHIFT_STEPS.take(ids), dtype=np.int64))
        self._steps[rows] = time[np.maximum(marks, header)]
        for group, column in ((PART, self._parts), (VELOCITY, self._velocities)):
            at = header + np.flatnonzero(_among(ids[header:], group))
            last = np.searchsorted(at, marks) - 1
            if len(at):
                column[rows] = np.where(last >= 0, ids[at[last]].astype(np.int64) - group.start, NOT_YET)


def elapsed_steps(ids: Ids) -> int:
    """Steps that the TIME_SHIFTs among `ids` add up to."""
    return int(_SHIFT_STEPS.take(ids).sum(dtype=np.int64))


def elapsed_in_rows(ids: Ids, length: NDArray[np.int64]) -> NDArray[np.int64]:
    """(rows,): the same for the first `length` ids of each row."""
    shifts = _SHIFT_STEPS.take(ids)
    shifts *= np.arange(ids.shape[1]) < length[:, None]
    elapsed: NDArray[np.int64] = shifts.sum(axis=1, dtype=np.int64)
    return elapsed


def _last(ids: Ids, group: Group, before: int) -> int:
    """Value of the last id of a group, `before` without any."""
    at = np.flatnonzero(_among(ids, group))
    return int(ids[at[-1]]) - group.start if len(at) else before


def _among(ids: Ids, group: Group) -> NDArray[np.bool_]:
    return (ids - np.uint16(group.start)) < group.size  # what is below the group wraps round to large numbers

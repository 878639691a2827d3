"""The hybrid view: ids as pitch × step features."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aurl.errors import UsageError
from aurl.midi.score import Ints
from aurl.tokens.decode import PITCHES, read_notes

MAX_CELLS = 2**28
"""256 MiB: 9 hours at 120 BPM, or 32 parts over 17 minutes."""
MAX_SOUNDING_CELLS = 2**25
"""Each takes 16 bytes while the roll is filled."""


def piano_roll(ids: ArrayLike, *, by_part: bool = False) -> NDArray[np.uint8]:
    """`(128, steps)`, or `(parts, 128, steps)`: velocity level + 1 of the loudest note that sounds there, 0 in silence.

    A note fills the steps from its onset up to, not including, its offset; at least one. Parts are numbered as in the
    ids, up to the highest that plays.

    Raises:
        UsageError: the roll would take too much memory.
    """
    notes = read_notes(ids)
    length = np.maximum(notes.offset - notes.onset, 1)
    steps = int(max(notes.end, (notes.onset + length).max(initial=0)))
    parts = 1 + int(notes.part.max(initial=0)) if by_part else 1
    if parts * PITCHES * steps > MAX_CELLS or int(length.sum()) > MAX_SOUNDING_CELLS:
        raise UsageError(f"a piano roll of {parts} parts and {steps} steps is too big", hint="take fewer ids at a time")
    row = notes.part * by_part * PITCHES + notes.pitch
    roll = paint(row, notes.onset, notes.onset + length, notes.velocity + 1, shape=(parts * PITCHES, steps))
    return roll.reshape(parts, PITCHES, steps) if by_part else roll


def paint(row: Ints, begin: Ints, end: Ints, value: Ints, *, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """`shape`: the largest `value` of those whose cells `begin` to `end` of a row are there, 0 elsewhere.

    Args:
        row: of each note.
        begin: its first cell, inside `shape`.
        end: the cell after its last.
        value: 1–255.
        shape: rows and columns.
    """
    largest_last = np.argsort(value, kind="stable")
    length = (end - begin)[largest_last]
    start, first_cell = (row * shape[1] + begin)[largest_last], np.cumsum(length) - length
    cells = np.arange(length.sum()) + np.repeat(start - first_cell, length)
    roll = np.zeros(shape[0] * shape[1], np.uint8)
    roll[cells] = np.repeat(value[largest_last], length)
    return roll.reshape(shape)

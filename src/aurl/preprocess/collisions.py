"""At most one note of a pitch at a time: what moved, merged or lengthened notes must be brought back to."""

from typing import NamedTuple

import numpy as np

from aurl.midi.score import Notes


class Apart(NamedTuple):
    """Notes that do not collide, and how many gave way.

    Args:
        notes: in order of (onset, pitch).
        merged: notes that became part of another with the same onset and pitch.
        cut: notes that end where the next of their pitch begins.
    """

    notes: Notes
    merged: int = 0
    cut: int = 0

    def repairs(self, step: str) -> dict[str, int]:
        """The counts under the names that `step` gives them."""
        return {f"{step}_merged": self.merged, f"{step}_cut": self.cut}


def apart(notes: Notes) -> Apart:
    """Of notes with one onset and pitch one stays, as long and loud as the most; others end where the next begins."""
    if not len(notes):
        return Apart(notes)
    notes = notes.take(np.lexsort((notes.duration, notes.onset, notes.pitch)))
    fresh = np.append(True, (np.diff(notes.pitch) != 0) | (np.diff(notes.onset) != 0))
    first = np.flatnonzero(fresh)
    merged = len(notes) - len(first)
    if merged:
        longest = notes.take(np.append(first[1:], len(notes)) - 1)
        loudest = np.maximum.reduceat(notes.velocity, first)
        notes = Notes.trusted(longest.onset, longest.duration, longest.pitch, loudest)
    until = np.append(notes.onset[1:], 0)
    cut = np.append(np.diff(notes.pitch) == 0, False) & (notes.offset > until)
    notes = notes.with_durations(np.where(cut, until - notes.onset, notes.duration))
    return Apart(notes.ordered(), merged, int(np.count_nonzero(cut)))

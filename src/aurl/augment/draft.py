"""A passage while kinds change it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from aurl.augment.notes import Ids, PassageNotes, read_notes, spell
from aurl.augment.passage import Passage
from aurl.midi.score import Ints
from aurl.tokens.vocabulary import DRUM_PROGRAM, EOS, MAX_PARTS, NOTE_OFF, PROGRAM, Group, TimeBase


class Draft:
    """What kinds work on, in place.

    The body is ids until a kind asks for its notes, and notes from then on. What is as easily done on ids looks at
    `body` first, because reading and spelling notes is most of what augmentation costs.

    Args:
        passage: what is to be changed; its own ids are never written to.
        time_base: that of the codec.

    Attributes:
        header: ids of the header.
        start_step: as in `Passage`, like `part` and `velocity`.
    """

    def __init__(self, passage: Passage, time_base: TimeBase) -> None:
        self.time_base = time_base
        self.start_step = passage.start_step
        self.part = passage.part
        self.velocity = passage.velocity
        self._passage = passage
        self._ids = passage.ids.copy()
        self.header = self._ids[: passage.header]
        self._notes: PassageNotes | None = None

    @property
    def body(self) -> Ids | None:
        """The ids after the header; None if a kind has asked for the notes."""
        return self._ids[self._passage.header :] if self._notes is None else None

    @property
    def notes(self) -> PassageNotes:
        """The notes of the body."""
        if self._notes is None:
            body = self._ids[self._passage.header :]
            self._notes = read_notes(body, start_step=self.start_step, part=self.part, velocity=self.velocity)
        return self._notes

    @property
    def is_drum(self) -> NDArray[np.bool_]:
        """`(32,)`: which parts are drum kits."""
        if self._passage.is_drum:
            return np.ones(MAX_PARTS, np.bool_)
        programs = self.header[self.told(PROGRAM)]
        result = np.zeros(MAX_PARTS, np.bool_)
        result[: len(programs)] = programs == PROGRAM.start + DRUM_PROGRAM
        return result

    def told(self, group: Group) -> NDArray[np.int64]:
        """Where in the header ids of `group` are."""
        return (self.header - np.uint16(group.start) < group.size).nonzero()[0]

    def warp(self, times: Callable[[Ints], Ints]) -> None:
        """Move every time, the passage's own start and end among them; `times` never puts a later one before another.

        Args:
            times: steps from the start of the piece, old → new.
        """
        notes = self.notes
        steps = times(np.concatenate([notes.onset, notes.offset, [self.start_step, notes.end]]))
        count = len(notes.onset)
        notes.onset, notes.offset = steps[:count], steps[count : 2 * count]
        self.start_step, notes.end = steps[2 * count :].tolist()

    def finish(self) -> Passage:
        """The passage that it has become."""
        before, ids, context = self._passage, self._ids, self._passage.context
        if self._notes is not None:
            body = self._spelt(self._notes)
            if context > before.header:
                context = before.header + _as_far(ids[before.header : context], body)
            ids = np.concatenate([self.header, body])
        return Passage(ids, before.header, context, self.start_step, self.part, self.velocity, before.is_drum)

    def _spelt(self, notes: PassageNotes) -> Ids:
        """The body; a PART or VELOCITY for notes that come after the passage is left out."""
        return spell(
            notes,
            start_step=self.start_step,
            part=self.part,
            velocity=self.velocity,
            parts=len(self.told(PROGRAM)) > 0,
            is_last=bool(self._ids[-1] == EOS),
        )


def _as_far(context: Ids, body: Ids) -> int:
    """Ids of `body` up to as many notes as the ids of `context` play; one where they play none."""
    played = int(np.count_nonzero(context < NOTE_OFF.stop))
    return int((body < NOTE_OFF.stop).nonzero()[0][played - 1]) + 1 if played else min(1, len(body))

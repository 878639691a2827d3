"""No passage of the training set comes back."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from annotated_types import Ge

from aurl.errors import UsageError
from aurl.generation.constraints.kinds import CONSTRAINTS, Rule
from aurl.generation.constraints.known import known_passages
from aurl.generation.constraints.lines import MAX_DISTANCE, Passages
from aurl.generation.constraints.pitches import pitched
from aurl.generation.constraints.row import FORBIDDEN, PITCHES, Bias, Row
from aurl.midi.score import Notes, Score
from aurl.tokens.codec import Codec
from aurl.tokens.timing import to_steps
from aurl.tokens.vocabulary import NOTE_ON, TimeBase


@CONSTRAINTS.register("no_copy")
def no_copy(codec: Codec, *, data: str = "", notes: Annotated[int, Ge(2)] = 12) -> "NoCopy":
    """No so many notes in a row are those of a piece that the model has learnt from.

    What is compared is the line of highest notes of each part: intervals, so in any key, and distances in time, drums
    aside. What a prompt copies stays. The passages of the data are collected once and kept in the cache. A finished
    piece cannot be mended.

    Args:
        codec: of the ids.
        data: a data set, whose training pieces count, or music as `aurl prepare` takes it. In `aurl generate` the data
            set of the run where nothing is named.
        notes: how many in a row.
    """
    if not data:
        raise UsageError("no_copy has to know what must not be copied", hint='name a data set: data = "path"')
    return NoCopy(known_passages(codec, data, notes), codec.time_base)


class NoCopy(Rule):
    """See `no_copy`.

    Args:
        passages: what must not come back.
        time_base: what their steps are.
    """

    def __init__(self, passages: Passages, time_base: TimeBase) -> None:
        self._passages = passages
        self._time_base: TimeBase = time_base

    def restrict(self, row: Row, bias: Bias) -> None:
        """No NOTE_ON that is the highest here and completes a passage."""
        line = row.tops.get(row.part)
        if line is None:
            return
        top = line[-1][1] if line[-1][0] == row.step else -1
        length = self._passages.length
        before = line[-length:-1] if top >= 0 else line[1 - length :]
        for distance, interval in self._passages.completions(before):
            step, pitch = before[-1]
            if distance == min(row.step - step, MAX_DISTANCE) and top < pitch + interval < PITCHES:
                bias[NOTE_ON.start + pitch + interval] = FORBIDDEN

    def broken(self, score: Score) -> list[str]:
        """Passages that are copies."""
        return [
            f"the {self._passages.length} notes up to beat {tick / score.ticks_per_beat:g} are known"
            for notes in pitched(score)
            for tick in self._copies(score, notes)
        ]

    def _copies(self, score: Score, notes: Notes) -> Iterator[int]:
        """Tick at which the last note of each copied passage begins."""
        ticks = np.unique(notes.onset)
        highest = [int(notes.pitch[notes.onset == tick].max()) for tick in ticks]
        steps = to_steps(ticks, score.ticks_per_beat, score.tempos, self._time_base).tolist()
        line = list(zip(steps, highest, strict=True))
        for stop in range(self._passages.length, len(line) + 1):
            *before, last = line[stop - self._passages.length : stop]
            way = last[0] - before[-1][0], last[1] - before[-1][1]
            if way in self._passages.completions(before):
                yield int(ticks[stop - 1])

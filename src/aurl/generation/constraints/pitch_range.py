"""Notes between a lowest and a highest pitch."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from aurl.errors import UsageError
from aurl.generation.constraints.kinds import CONSTRAINTS, Rule
from aurl.generation.constraints.pitches import OCTAVE, moved, name_of, strange
from aurl.generation.constraints.row import FORBIDDEN, Bias, Row
from aurl.midi.score import Ints, Score
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import NOTE_ON

LOWEST, HIGHEST = 0, 127
Pitch = Annotated[int, Ge(LOWEST), Le(HIGHEST)]


@CONSTRAINTS.register("range")
def pitch_range(_codec: Codec, *, lowest: Pitch = LOWEST, highest: Pitch = HIGHEST) -> "Range":
    """Notes lie between two pitches; drums are not asked.

    A finished piece is mended by moving notes by octaves, and, in a range too narrow for that, to its nearest end.

    Args:
        lowest: MIDI pitch; 60 is middle C, 21 the lowest key of a piano.
        highest: the same; 108 is the highest key of a piano.
    """
    return Range(lowest, highest)


class Range(Rule):
    """See `pitch_range`.

    Raises:
        UsageError: the range is empty.
    """

    def __init__(self, lowest: int, highest: int) -> None:
        if lowest > highest:
            raise UsageError(
                f"a range from {lowest} up to {highest} is empty", hint="give the lowest pitch first: 48 to 84"
            )
        self._lowest, self._highest = lowest, highest

    def restrict(self, row: Row, bias: Bias) -> None:
        """No NOTE_ON outside."""
        if not row.is_drum(row.part):
            bias[NOTE_ON.start : NOTE_ON.start + self._lowest] = FORBIDDEN
            bias[NOTE_ON.start + self._highest + 1 : NOTE_ON.stop] = FORBIDDEN

    def mend(self, score: Score) -> Score:
        """Notes move by octaves."""
        return moved(score, self._inside)

    def broken(self, score: Score) -> list[str]:
        """Notes outside."""
        reason = f"is outside {name_of(self._lowest)}–{name_of(self._highest)}"
        return strange(score, lambda pitch: self._lowest <= pitch <= self._highest, reason)

    def _inside(self, pitch: Ints) -> Ints:
        up = -((pitch - self._lowest) // OCTAVE) * OCTAVE * (pitch < self._lowest)
        down = -((self._highest - pitch) // OCTAVE) * OCTAVE * (pitch > self._highest)
        inside: Ints = np.clip(pitch + up - down, self._lowest, self._highest)
        return inside

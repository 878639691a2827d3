"""Few notes at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Annotated, Literal

from annotated_types import Ge

from aurl.generation.constraints.kinds import CONSTRAINTS, Rule
from aurl.generation.constraints.pitches import pitched
from aurl.generation.constraints.row import FORBIDDEN, Bias, Row
from aurl.midi.score import Notes, Score
from aurl.preprocess.polyphony import polyphony as reduced
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import NOTE_ON

Per = Literal["piece", "part"]


@CONSTRAINTS.register("polyphony")
def polyphony(_codec: Codec, *, voices: Annotated[int, Ge(1)] = 4, per: Per = "piece") -> "Polyphony":
    """At most so many notes sound at once; drums do not count.

    A finished piece is mended as the preprocessing step of this name does it: bass and melody stay.

    Args:
        voices: most notes that may sound at once.
        per: "piece": all parts together; "part": each by itself, so that 1 makes every instrument play single notes.
    """
    return Polyphony(voices, per)


class Polyphony(Rule):
    """See `polyphony`."""

    def __init__(self, voices: int, per: Per) -> None:
        self._voices, self._per = voices, per
        self._reduce = reduced(voices=voices)

    def restrict(self, row: Row, bias: Bias) -> None:
        """No NOTE_ON where as many notes sound as may."""
        if not row.is_drum(row.part) and self._sounding(row) >= self._voices:
            bias[NOTE_ON.start : NOTE_ON.stop] = FORBIDDEN

    def mend(self, score: Score) -> Score:
        """Inner voices go."""
        if self._per == "piece":
            return self._reduce(score)
        tracks = (self._reduce(replace(score, tracks=(track,))).tracks[0] for track in score.tracks)
        return replace(score, tracks=tuple(tracks))

    def broken(self, score: Score) -> list[str]:
        """Places where too many sound."""
        tables = list(pitched(score))
        groups = [[table] for table in tables] if self._per == "part" else [tables]
        return [
            f"{count} notes sound at beat {tick / score.ticks_per_beat:g}, more than {self._voices}"
            for group in groups
            for tick, count in _counts(group)
            if count > self._voices
        ]

    def _sounding(self, row: Row) -> int:
        if self._per == "part":
            return row.sounding.get(row.part, 0)
        return sum(count for part, count in row.sounding.items() if not row.is_drum(part))


def _counts(tables: Sequence[Notes]) -> list[tuple[int, int]]:
    """Tick of each change, and how many notes sound from there on."""
    notes = [(onset, onset + max(length, 1)) for table in tables for onset, length in _spans(table)]
    changes = sorted(chain(((end, -1) for _, end in notes), ((begin, 1) for begin, _ in notes)))
    count, found = 0, {}
    for tick, change in changes:
        count += change
        found[tick] = count
    return list(found.items())


def _spans(notes: Notes) -> Iterable[tuple[int, int]]:
    return zip(notes.onset.tolist(), notes.duration.tolist(), strict=True)

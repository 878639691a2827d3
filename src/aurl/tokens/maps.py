"""What is kept beside the ids so that a piece comes back with its own ticks, tempi, meters and keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import numpy as np

from aurl.errors import DamagedError
from aurl.midi.score import TICKS_PER_BEAT, Columns, KeySignatures, Score, Tempos, TimeSignatures

MAX_TICKS_PER_BEAT = 2**15 - 1
"""What the header of a MIDI file can say."""

C = TypeVar("C", bound=Columns)


@dataclass(frozen=True)
class Maps:
    """Maps of a piece in its original ticks, also where they go on after the last note.

    Args:
        ticks_per_beat: ticks of a quarter note, > 0.
        tempos: empty means 120 BPM.
        time_signatures: empty means 4/4.
        key_signatures: empty means unknown.
        is_drum: a stream without parts holds a drum kit (`Codec.encode`).
    """

    ticks_per_beat: int = TICKS_PER_BEAT
    tempos: Tempos = field(default_factory=Tempos)
    time_signatures: TimeSignatures = field(default_factory=TimeSignatures)
    key_signatures: KeySignatures = field(default_factory=KeySignatures)
    is_drum: bool = False

    @classmethod
    def of(cls, score: Score, *, is_drum: bool = False) -> Self:
        """The maps of `score`."""
        return cls(score.ticks_per_beat, score.tempos, score.time_signatures, score.key_signatures, is_drum)

    def to_json(self) -> dict[str, Any]:
        """A value that `json.dumps` takes: a list of rows for each map."""
        return {
            "ticks_per_beat": self.ticks_per_beat,
            "tempos": _rows(self.tempos),
            "time_signatures": _rows(self.time_signatures),
            "key_signatures": _rows(self.key_signatures),
            "is_drum": self.is_drum,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The maps that `to_json` wrote.

        Raises:
            DamagedError: `value` is not such an object.
        """
        try:
            ticks_per_beat, is_drum = _resolution(value["ticks_per_beat"]), bool(value["is_drum"])
            tempos = _columns(Tempos, value["tempos"])
            meters = _columns(TimeSignatures, value["time_signatures"])
            keys = _columns(KeySignatures, value["key_signatures"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DamagedError(
                f"the maps of a piece are damaged: {error!r}", hint="prepare the data set again"
            ) from error
        return cls(ticks_per_beat, tempos, meters, keys, is_drum)


def _resolution(ticks_per_beat: Any) -> int:
    if not 1 <= int(ticks_per_beat) <= MAX_TICKS_PER_BEAT:
        raise ValueError(f"{ticks_per_beat} ticks per beat")
    return int(ticks_per_beat)


def _rows(columns: Columns) -> list[list[int]]:
    # zip and not np.stack: nearly all maps have one row, and every piece of a corpus passes here three times.
    if not len(columns):
        return []
    values = [
        (column if column.dtype == np.int64 else column.astype(np.int64)).tolist()
        for column in (getattr(columns, name) for name in columns._dtypes)
    ]
    return [list(row) for row in zip(*values, strict=True)]


def _columns(kind: type[C], rows: Any) -> C:
    names = kind._dtypes
    table = np.array(rows, np.int64).reshape(-1, len(names)).T
    if (np.diff(table[0], prepend=0) < 0).any():
        raise ValueError("ticks that do not rise")
    return kind(**dict(zip(names, table, strict=True)))

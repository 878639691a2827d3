"""A piece of music as immutable columns: what every room of the house passes along.

Ticks are int64 and absolute. Nothing here knows about files, tokens or models.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

TICKS_PER_BEAT = 480
DEFAULT_TEMPO = 500_000
"""Microseconds per quarter note where a file names none: 120 BPM (Standard MIDI Files 1.0)."""
DRUM_CHANNEL = 9

Ints = NDArray[np.int64]


def _no_rows() -> Any:
    return np.empty(0, np.int64)


class Columns:
    """Equal-length, read-only numpy columns; subclasses are frozen dataclasses whose array fields are the columns."""

    _dtypes: ClassVar[dict[str, type[np.generic]]]

    def __post_init__(self) -> None:
        lengths = set()
        for name, dtype in self._dtypes.items():
            column = np.ascontiguousarray(getattr(self, name), dtype=dtype)
            if column.flags.writeable:
                column = column.copy() if column is getattr(self, name) else column
                column.flags.writeable = False
            object.__setattr__(self, name, column)
            lengths.add(len(column))
        if len(lengths) > 1:
            raise ValueError(f"columns of {type(self).__name__} differ in length: {sorted(lengths)}")

    @classmethod
    def trusted(cls, *columns: NDArray[Any]) -> Self:
        """Columns in order of the fields, not checked and not copied, at a tenth of the usual cost.

        They must have the right types and one length, be contiguous, and belong to nobody else.
        """
        rows = object.__new__(cls)
        for column in columns:
            column.setflags(write=False)
        rows.__dict__.update(zip(cls._dtypes, columns, strict=True))
        return rows

    def __len__(self) -> int:
        for column in self.__dict__.values():
            return len(column)
        return 0

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in self._dtypes)

    __hash__ = None  # type: ignore[assignment]

    def take(self, index: Any) -> Self:
        """The rows that `index` (a mask, a slice or positions) selects."""
        return self.trusted(*(np.ascontiguousarray(getattr(self, name)[index]) for name in self._dtypes))


@dataclass(frozen=True, eq=False)
class Notes(Columns):
    """Notes in order of (onset, pitch).

    Args:
        onset: absolute ticks.
        duration: ticks, ≥ 0.
        pitch: 0–127.
        velocity: 1–127.
    """

    _dtypes: ClassVar = {"onset": np.int64, "duration": np.int64, "pitch": np.uint8, "velocity": np.uint8}

    onset: Ints = field(default_factory=_no_rows)
    duration: Ints = field(default_factory=_no_rows)
    pitch: NDArray[np.uint8] = field(default_factory=_no_rows)
    velocity: NDArray[np.uint8] = field(default_factory=_no_rows)

    @property
    def offset(self) -> Ints:
        """Absolute ticks at which each note ends."""
        return self.onset + self.duration

    def with_durations(self, duration: Ints) -> "Notes":
        """The same notes of other lengths; `duration` is int64, and the caller gives it up."""
        return self.trusted(self.onset, duration, self.pitch, self.velocity)

    def ordered(self) -> "Notes":
        """The same notes by (onset, pitch, duration)."""
        return self.take(np.lexsort((self.duration, self.pitch, self.onset)))


def joined(tables: Sequence[Notes]) -> Notes:
    """The notes of at least one table, one after the other."""
    if len(tables) == 1:
        return tables[0]
    return Notes.trusted(*(np.concatenate([getattr(table, name) for table in tables]) for name in Notes._dtypes))


@dataclass(frozen=True, eq=False)
class Tempos(Columns):
    """Tempo map in order of tick.

    Args:
        tick: absolute ticks.
        microseconds_per_beat: length of a quarter note.
    """

    _dtypes: ClassVar = {"tick": np.int64, "microseconds_per_beat": np.int64}

    tick: Ints = field(default_factory=_no_rows)
    microseconds_per_beat: Ints = field(default_factory=_no_rows)


@dataclass(frozen=True, eq=False)
class TimeSignatures(Columns):
    """Meter map in order of tick; the denominator is the note value itself (8 for 6/8)."""

    _dtypes: ClassVar = {"tick": np.int64, "numerator": np.int64, "denominator": np.int64}

    tick: Ints = field(default_factory=_no_rows)
    numerator: Ints = field(default_factory=_no_rows)
    denominator: Ints = field(default_factory=_no_rows)


@dataclass(frozen=True, eq=False)
class KeySignatures(Columns):
    """Key map in order of tick; `fifths` is −7 (seven flats) to 7 (seven sharps)."""

    _dtypes: ClassVar = {"tick": np.int64, "fifths": np.int64, "minor": np.bool_}

    tick: Ints = field(default_factory=_no_rows)
    fifths: Ints = field(default_factory=_no_rows)
    minor: NDArray[np.bool_] = field(default_factory=_no_rows)


@dataclass(frozen=True, eq=False)
class Controls(Columns):
    """Control changes of one track in order of tick (64 is the sustain pedal)."""

    _dtypes: ClassVar = {"tick": np.int64, "number": np.uint8, "value": np.uint8}

    tick: Ints = field(default_factory=_no_rows)
    number: NDArray[np.uint8] = field(default_factory=_no_rows)
    value: NDArray[np.uint8] = field(default_factory=_no_rows)


@dataclass(frozen=True)
class Text:
    """A marker, chord symbol or lyric at a tick."""

    tick: int
    text: str


@dataclass(frozen=True)
class Track:
    """One instrument's notes.

    Args:
        notes: in order of (onset, pitch).
        program: General MIDI program, 0–127; 0 for drums.
        is_drum: the notes are on MIDI channel 10.
        name: track name, may be empty.
        controls: control changes.
        lyrics: sung text.
    """

    notes: Notes = field(default_factory=Notes)
    program: int = 0
    is_drum: bool = False
    name: str = ""
    controls: Controls = field(default_factory=Controls)
    lyrics: tuple[Text, ...] = ()


@dataclass(frozen=True)
class Score:
    """A piece of music.

    Args:
        ticks_per_beat: ticks of a quarter note, > 0.
        tracks: in file order.
        tempos: empty means 120 BPM throughout.
        time_signatures: empty means 4/4 throughout.
        key_signatures: empty means unknown.
        markers: section names, chord symbols.
    """

    ticks_per_beat: int = TICKS_PER_BEAT
    tracks: tuple[Track, ...] = ()
    tempos: Tempos = field(default_factory=Tempos)
    time_signatures: TimeSignatures = field(default_factory=TimeSignatures)
    key_signatures: KeySignatures = field(default_factory=KeySignatures)
    markers: tuple[Text, ...] = ()

    @property
    def note_count(self) -> int:
        """Notes in all tracks."""
        return sum(len(track.notes) for track in self.tracks)

    @property
    def end_tick(self) -> int:
        """Tick at which the last note ends, 0 without notes."""
        return max([int(track.notes.offset.max()) for track in self.tracks if len(track.notes)], default=0)

    def map_notes(self, change: Callable[[Notes], Notes]) -> "Score":
        """The score with `change` applied to the notes of every track."""
        return replace(self, tracks=tuple(replace(track, notes=change(track.notes)) for track in self.tracks))

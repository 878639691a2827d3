"""What a data set remembers of each piece beside its ids: one JSON object a line."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from aurl.data.complexity import texture_of
from aurl.errors import DamagedError
from aurl.midi.clock import seconds_at
from aurl.midi.reasons import RejectReason
from aurl.midi.score import DEFAULT_TEMPO, Score
from aurl.tokens.codec import Encoded
from aurl.tokens.maps import Maps
from aurl.tokens.vocabulary import DRUM_PROGRAM, MAX_PARTS, NOTE_ON, SEP, Header

_MICROSECONDS_PER_MINUTE = 60_000_000
_MICROSECONDS = 1_000_000
_MAJOR_KEYS = ("Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#")
_MINOR_KEYS = ("Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#", "G#", "D#", "A#")
_MOST_FLATS = 7
_LONGEST_HEADER = 2 + len(get_args(Header)) + 2 * MAX_PARTS
"""BOS, facts, PART and PROGRAM of each part, SEP."""


COSTLY = (RejectReason.TIMEOUT, RejectReason.MEMORY, RejectReason.CRASH)
"""Rejections that other limits may turn into pieces."""
NOTHING: Mapping[str, Any] = {}
"""Not a mapping proxy, which could not be sent from a worker."""


class Record(NamedTuple):
    """One piece, prepared or rejected.

    Args:
        source: absolute path of the file when it was read.
        sha256: of the file's bytes, hexadecimal.
        file_bytes: its size.
        reason: why it was rejected, a value of `RejectReason`; empty if it was prepared.
        fault: the rejection in words.
        notes: notes in the ids.
        tokens: ids from BOS to EOS.
        header: ids before the body, BOS and SEP among them.
        seconds: until the last note ends.
        tempo: beats per minute at the start.
        key: at the start, as "Eb major"; empty if unknown.
        meter: at the start, as "6/8".
        instruments: General MIDI programs that sound, ascending; 128 is the drum kit.
        polyphony: notes that sound together, averaged over the time in which any does.
        complexity: 0 (plain) to 1 (intricate); see `aurl.data.complexity`.
        segment: which of the pieces that preprocessing made of one file.
        repairs: repair name → how often.
        maps: JSON of the tempo, meter and key maps in original ticks (`tokens.Maps`).
    """

    source: str
    sha256: str
    file_bytes: int = 0
    reason: str = ""
    fault: str = ""
    notes: int = 0
    tokens: int = 0
    header: int = 0
    seconds: float = 0.0
    tempo: float = 0.0
    key: str = ""
    meter: str = ""
    instruments: tuple[int, ...] = ()
    polyphony: float = 0.0
    complexity: float = 0.0
    segment: int = 0
    repairs: Mapping[str, int] = NOTHING
    maps: Mapping[str, Any] = NOTHING

    def to_line(self) -> bytes:
        """One line of JSON, without its end; what is empty is left out."""
        value = {name: value for name, value in zip(self._fields, self, strict=True) if value}
        return json.dumps(value, separators=(",", ":")).encode("ascii")

    @classmethod
    def from_line(cls, line: bytes) -> "Record":
        """The record that `to_line` wrote.

        Raises:
            DamagedError: it is not such a line.
        """
        try:
            value = json.loads(line)
            value["instruments"] = tuple(value.get("instruments", ()))
            return cls(**value)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedError(f"not a piece record: {error}", hint="prepare the data set again") from error


def note_count(ids: NDArray[np.uint16]) -> int:
    """NOTE_ONs among the ids."""
    return int(np.count_nonzero(ids < NOTE_ON.stop))


def prepared(score: Score, encoded: Encoded, *, notes: int, segment: int = 0) -> Record:
    """What `score` and its ids tell of a piece; the facts of its file are for the caller to add."""
    ids, maps = encoded.ids, encoded.maps
    texture = texture_of(score)
    return Record(
        source="",
        sha256="",
        notes=notes,
        tokens=len(ids),
        header=header_length(ids),
        seconds=_seconds(score),
        tempo=_tempo(maps),
        key=_key(maps),
        meter=_meter(maps),
        instruments=tuple(sorted({DRUM_PROGRAM if t.is_drum else t.program for t in score.tracks if len(t.notes)})),
        polyphony=texture.polyphony,
        complexity=texture.complexity,
        segment=segment,
        maps=maps.to_json(),
    )


def header_length(ids: NDArray[np.uint16]) -> int:
    """Ids up to SEP and with it; without a SEP there is only BOS."""
    start = ids[:_LONGEST_HEADER].tolist()
    return start.index(SEP) + 1 if SEP in start else 1


def _seconds(score: Score) -> float:
    tempos = score.tempos
    if len(tempos) == 1 and tempos.tick[0] == 0:  # seconds_at would give the same, ten times slower
        microseconds = score.end_tick * int(tempos.microseconds_per_beat[0])
        return round(microseconds / (_MICROSECONDS * score.ticks_per_beat), 3)
    return round(float(seconds_at(score, score.end_tick)), 3)


def _tempo(maps: Maps) -> float:
    slope = int(maps.tempos.microseconds_per_beat[0]) if len(maps.tempos) else DEFAULT_TEMPO
    return round(_MICROSECONDS_PER_MINUTE / max(slope, 1), 2)


def _key(maps: Maps) -> str:
    keys = maps.key_signatures
    if not len(keys):
        return ""
    position = min(max(int(keys.fifths[0]) + _MOST_FLATS, 0), len(_MAJOR_KEYS) - 1)
    return f"{_MINOR_KEYS[position]} minor" if keys.minor[0] else f"{_MAJOR_KEYS[position]} major"


def _meter(maps: Maps) -> str:
    meters = maps.time_signatures
    return f"{meters.numerator[0]}/{meters.denominator[0]}" if len(meters) else "4/4"

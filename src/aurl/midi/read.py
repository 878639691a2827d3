"""Bytes or a file → Score, through symusic, with every repair counted."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from symusic import Score as SymusicScore

from aurl.midi.reasons import Rejected, RejectReason
from aurl.midi.score import Controls, KeySignatures, Notes, Score, Tempos, Text, TimeSignatures, Track

MAX_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class ReadResult:
    """A score and what had to be repaired to get it: repair name → how often."""

    score: Score
    repairs: dict[str, int] = field(default_factory=dict)


def read_score(data: bytes, *, name: str = "", max_bytes: int = MAX_BYTES) -> ReadResult:
    """The score in the bytes of a Standard MIDI File.

    Raises:
        Rejected: the file cannot be used; `.reason` says why.
    """
    if len(data) > max_bytes:
        raise Rejected(RejectReason.TOO_LARGE, f"{len(data)} bytes, more than {max_bytes}", name=name)
    try:
        parsed = SymusicScore.from_midi(data)
    except RuntimeError as error:
        raise Rejected(RejectReason.MALFORMED, str(error), name=name) from error
    score = _score(parsed)
    if not score.note_count:
        raise Rejected(RejectReason.NO_NOTES, "no notes", name=name)
    return ReadResult(score)


def load_score(path: Path, *, max_bytes: int = MAX_BYTES) -> ReadResult:
    """The score in the file at `path`, whose size is checked before it is read.

    Raises:
        Rejected: the file cannot be used; `.reason` says why.
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise Rejected(RejectReason.TOO_LARGE, f"{size} bytes, more than {max_bytes}", name=str(path))
        data = path.read_bytes()
    except OSError as error:
        raise Rejected(RejectReason.UNREADABLE, str(error), name=str(path)) from error
    return read_score(data, name=str(path), max_bytes=max_bytes)


def _score(parsed: Any) -> Score:
    tempos, meters, keys = parsed.tempos.numpy(), parsed.time_signatures.numpy(), parsed.key_signatures.numpy()
    return Score(
        ticks_per_beat=parsed.ticks_per_quarter,
        tracks=tuple(_track(track) for track in parsed.tracks if len(track.notes)),
        tempos=Tempos(tempos["time"], tempos["mspq"]),
        time_signatures=TimeSignatures(meters["time"], meters["numerator"], meters["denominator"]),
        key_signatures=KeySignatures(keys["time"], keys["key"], keys["tonality"]),
        markers=tuple(Text(text.time, text.text) for text in parsed.markers),
    )


def _track(track: Any) -> Track:
    notes, controls = track.notes.numpy(), track.controls.numpy()
    return Track(
        notes=Notes(notes["time"], np.maximum(notes["duration"], 1), notes["pitch"], notes["velocity"]).ordered(),
        program=0 if track.is_drum else track.program,
        is_drum=track.is_drum,
        name=track.name,
        controls=Controls(controls["time"], controls["number"], controls["value"]),
        lyrics=tuple(Text(text.time, text.text) for text in track.lyrics),
    )

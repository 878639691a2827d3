"""How alike two performances of the same notes are."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aurl.errors import UsageError
from aurl.midi.clock import seconds_at
from aurl.midi.score import Score

ONSET_SECONDS = 0.05
DRUM_PITCH = 128
"""Added to the pitches of drums, so that they only match drums."""


class NoteMatch(NamedTuple):
    """How well notes agree, each 0 to 1; NaN where neither score has any, 0 where only one has."""

    precision: float
    recall: float
    f1: float


def note_match(reference: Score, estimate: Score, *, onset_seconds: float = ONSET_SECONDS) -> NoteMatch:
    """Notes of `estimate` that are in `reference`: same pitch, onset at most that far off, each counted once.

    Lengths and velocities do not matter. mir_eval's note transcription metric (Raffel et al., ISMIR 2014; MIREX).

    Raises:
        UsageError: mir_eval is not installed.
    """
    try:
        from mir_eval import transcription  # noqa: PLC0415 - an optional package
    except ImportError as error:
        raise UsageError("comparing notes takes mir_eval", hint="pip install 'aurl[eval]'") from error
    if not reference.note_count or not estimate.note_count:
        return NoteMatch(*[0.0 if reference.note_count or estimate.note_count else float("nan")] * 3)
    precision, recall, f1, _ = transcription.precision_recall_f1_overlap(
        *_events(reference), *_events(estimate), onset_tolerance=onset_seconds, offset_ratio=None
    )
    return NoteMatch(float(precision), float(recall), float(f1))


def _events(score: Score) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Begin and end of each note in seconds, `(n, 2)`, and its frequency."""
    onset: list[NDArray[np.float64]] = [np.empty(0)]
    offset, pitch = onset.copy(), onset.copy()
    for track in score.tracks:
        notes = track.notes
        onset.append(seconds_at(score, notes.onset))
        offset.append(seconds_at(score, np.maximum(notes.offset, notes.onset + 1)))
        pitch.append(notes.pitch.astype(np.float64) + DRUM_PITCH * track.is_drum)
    intervals = np.stack([np.concatenate(onset), np.concatenate(offset)], axis=1)
    return intervals, 440 * 2 ** ((np.concatenate(pitch) - 69) / 12)

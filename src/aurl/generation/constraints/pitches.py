"""What constraints on pitches share: notes of pitched tracks, named, moved and brought apart."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from aurl.midi.score import Ints, Notes, Score
from aurl.preprocess.collisions import apart

NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
OCTAVE = 12


def name_of(pitch: int) -> str:
    """What people call a pitch, "C4" for 60."""
    return f"{NAMES[pitch % OCTAVE]}{pitch // OCTAVE - 1}"


def pitched(score: Score) -> Iterator[Notes]:
    """The notes of each track that is not drums."""
    return (track.notes for track in score.tracks if not track.is_drum)


def moved(score: Score, move: Callable[[Ints], Ints]) -> Score:
    """The score with other pitches; notes that meet on one give way to the longest, drums stay."""

    def changed(notes: Notes) -> Notes:
        before = notes.pitch.astype(np.int64)
        after = move(before)
        return notes if np.array_equal(before, after) else apart(replace(notes, pitch=after.astype(np.uint8))).notes

    tracks = tuple(track if track.is_drum else replace(track, notes=changed(track.notes)) for track in score.tracks)
    return replace(score, tracks=tracks)


def strange(score: Score, is_wanted: Callable[[int], bool], reason: str) -> list[str]:
    """Each pitched note that is not wanted, in words."""
    return [
        f"{name_of(pitch)} at beat {onset / score.ticks_per_beat:g} {reason}"
        for notes in pitched(score)
        for onset, pitch in zip(notes.onset.tolist(), notes.pitch.tolist(), strict=True)
        if not is_wanted(pitch)
    ]

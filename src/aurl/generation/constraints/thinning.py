"""Notes left out until no stretch of time has too many."""

from bisect import bisect_right
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from aurl.midi.score import Notes, Score


class _Note(NamedTuple):
    """Where a note of a score is, and how much it would be missed."""

    onset: int
    track: int
    place: int
    weight: tuple[int, ...]


def thinned(score: Score, limit: int, stretch: int) -> Score:
    """The score with at most `limit` onsets in every stretch of so many ticks, drums aside.

    Notes between the highest and the lowest that begin with them go first, and those off the beat; then the quietest
    and shortest.
    """
    beat = score.ticks_per_beat
    found = (
        _Note(onset, index, place, weight)
        for index, track in enumerate(score.tracks)
        if not track.is_drum
        for place, (onset, weight) in enumerate(_weights(track.notes, beat))
    )
    kept: list[_Note] = []
    for note in sorted(found):
        kept.append(note)
        begin = bisect_right(kept, note.onset - stretch, key=lambda one: one.onset)
        if len(kept) - begin > limit:
            kept.remove(min(kept[begin:], key=lambda one: one.weight))
    return _with_only(score, kept)


def _with_only(score: Score, kept: list[_Note]) -> Score:
    tracks = list(score.tracks)
    for index, track in enumerate(tracks):
        if not track.is_drum:
            places = [note.place for note in kept if note.track == index]
            tracks[index] = replace(track, notes=track.notes.take(np.array(places, np.int64)))
    return replace(score, tracks=tuple(tracks))


def _weights(notes: Notes, beat: int) -> list[tuple[int, tuple[int, ...]]]:
    """Onset of each note, and how much it would be missed."""
    bounds: dict[int, tuple[int, int]] = {}
    rows = list(zip(*(getattr(notes, name).tolist() for name in Notes._dtypes), strict=True))
    for onset, _, pitch, _ in rows:
        low, high = bounds.get(onset, (pitch, pitch))
        bounds[onset] = min(low, pitch), max(high, pitch)
    return [
        (onset, ((onset % beat == 0) + (2 * onset % beat == 0) + (pitch in bounds[onset]), velocity, duration))
        for onset, duration, pitch, velocity in rows
    ]

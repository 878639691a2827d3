"""A stretch of a score as a score of its own."""

from dataclasses import replace
from typing import TypeVar

import numpy as np

from aurl.midi.score import Controls, KeySignatures, Score, Tempos, Text, TimeSignatures, Track

FIRST_MODE_MESSAGE = 120
"""Controllers from here on are commands (all notes off, …), which do not stay in force."""

M = TypeVar("M", Tempos, TimeSignatures, KeySignatures)


def excerpt(score: Score, start: int, stop: int) -> tuple[Score, int]:
    """What begins from tick `start` on and before `stop`, with `start` as tick 0, and how many notes end early for it.

    Tempo, meter, key and controls in force at `start` are set at its beginning. Tracks that do not play are left out.
    """
    tracks, cut = [], 0
    for track in score.tracks:
        kept, shortened = _track(track, start, stop)
        cut += shortened
        if len(kept.notes):
            tracks.append(kept)
    return replace(
        score,
        tracks=tuple(tracks),
        tempos=_in_force(score.tempos, start, stop),
        time_signatures=_in_force(score.time_signatures, start, stop),
        key_signatures=_in_force(score.key_signatures, start, stop),
        markers=_texts(score.markers, start, stop),
    ), cut


def _track(track: Track, start: int, stop: int) -> tuple[Track, int]:
    first, last = np.searchsorted(track.notes.onset, [start, stop]).tolist()
    notes = track.notes.take(slice(first, last))
    late = notes.offset > stop
    duration = np.where(late, stop - notes.onset, notes.duration)
    return replace(
        track,
        notes=replace(notes, onset=notes.onset - start, duration=duration),
        controls=_controls(track.controls, start, stop),
        lyrics=_texts(track.lyrics, start, stop),
    ), int(np.count_nonzero(late))


def _controls(rows: Controls, start: int, stop: int) -> Controls:
    """Those of the stretch, and before them the last value of each controller."""
    if not len(rows):
        return rows
    first, last = np.searchsorted(rows.tick, [start, stop]).tolist()
    numbers = rows.number[:first]
    newest = first - 1 - np.unique(numbers[::-1], return_index=True)[1]
    newest = np.sort(newest[numbers[newest] < FIRST_MODE_MESSAGE])
    kept = rows.take(np.append(newest, np.arange(first, last)))
    return replace(kept, tick=np.maximum(kept.tick - start, 0))


def _in_force(rows: M, start: int, stop: int) -> M:
    first, last = (int(at) for at in np.searchsorted(rows.tick, [start + 1, stop]))
    kept = rows.take(slice(max(first - 1, 0), last))
    return replace(kept, tick=np.maximum(kept.tick - start, 0))


def _texts(entries: tuple[Text, ...], start: int, stop: int) -> tuple[Text, ...]:
    return tuple(replace(entry, tick=entry.tick - start) for entry in entries if start <= entry.tick < stop)

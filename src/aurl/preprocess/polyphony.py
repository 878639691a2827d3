"""Fewer notes at a time: outer voices first."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from heapq import heappop, heappush
from itertools import accumulate, groupby
from typing import Annotated

import numpy as np
from annotated_types import Ge

from aurl.midi.score import Ints, Notes, Score, joined
from aurl.preprocess.registry import PREPROCESS, Preprocessed, PreprocessStep

STUB_BEATS = 1 / 8
"""A note that would be cut to less than a thirty-second was part of a strummed chord or an ornament: it goes."""
_GONE = -1


@PREPROCESS.register("polyphony")
def polyphony(*, voices: Annotated[int, Ge(1)] = 8) -> PreprocessStep:
    """Let at most so many notes sound at once, all pitched tracks together; melody and bass stay first.

    Where more sound, the highest note stays, then the lowest, then those that begin there, then the loudest and those
    that last longest. One that sounded before ends there (`polyphony_cut`); one that begins there, or that would be
    left shorter than a thirty-second, is dropped (`polyphony_dropped`). Drums are not touched.

    Args:
        voices: most notes that may sound at once.
    """
    return PreprocessStep(partial(_reduced, voices=voices))


def _reduced(score: Score, *, voices: int) -> Preprocessed:
    pitched = [index for index, track in enumerate(score.tracks) if not track.is_drum and len(track.notes)]
    if not pitched:
        return Preprocessed(score)
    notes = joined([score.tracks[index].notes for index in pitched])
    if most_at_once(notes) <= voices:
        return Preprocessed(score)
    duration = _durations(notes, voices, score.ticks_per_beat * STUB_BEATS)
    keep = duration != _GONE
    repairs = Counter(
        polyphony_dropped=int(np.count_nonzero(~keep)),
        polyphony_cut=int(np.count_nonzero(keep & (duration < notes.duration))),
    )
    tracks = list(score.tracks)
    stops = accumulate(len(tracks[index].notes) for index in pitched)
    for index, stop in zip(pitched, stops, strict=True):
        mine = slice(stop - len(tracks[index].notes), stop)
        left = tracks[index].notes.with_durations(duration[mine]).take(keep[mine])
        tracks[index] = replace(tracks[index], notes=left)
    return Preprocessed(replace(score, tracks=tuple(tracks)), dict(+repairs))


def most_at_once(notes: Notes) -> int:
    """How many notes sound at the fullest moment; those without length do for a tick."""
    onset = np.sort(notes.onset)
    ended = np.searchsorted(np.sort(_ends(notes)), onset, side="right")
    return int((np.searchsorted(onset, onset, side="right") - ended).max(initial=0))


def _ends(notes: Notes) -> Ints:
    return notes.onset + np.maximum(notes.duration, 1)


def _durations(notes: Notes, voices: int, stub: float) -> Ints:
    """What is left of each note, `_GONE` where nothing is. One sweep over the onsets, O(n log n)."""
    onset, end = notes.onset.tolist(), _ends(notes).tolist()
    duration = notes.duration.tolist()
    pitch, loudness = notes.pitch.tolist(), notes.velocity.tolist()
    sounding: set[int] = set()
    until: list[tuple[int, int]] = []
    for now, group in groupby(np.argsort(notes.onset, kind="stable").tolist(), key=onset.__getitem__):
        while until and until[0][0] <= now:
            sounding.discard(heappop(until)[1])
        for note in group:
            sounding.add(note)
            heappush(until, (end[note], note))
        if len(sounding) <= voices:
            continue
        height = {note: (pitch[note], loudness[note], end[note], -note) for note in sounding}
        weight = {note: (onset[note] == now, loudness[note], end[note], -note) for note in sounding}
        for note in sounding - _chosen(height, weight, voices):
            sounding.remove(note)
            left = now - onset[note]
            duration[note] = left if left >= stub else _GONE
    return np.array(duration, np.int64)


def _chosen(height: Mapping[int, tuple[int, ...]], weight: Mapping[int, tuple[int, ...]], voices: int) -> set[int]:
    """The highest, the lowest, and the weightiest of the others."""
    highest = max(height, key=height.__getitem__)
    if voices == 1:
        return {highest}
    inner = height.keys() - {highest}
    lowest = min(inner, key=lambda note: (height[note][0], *(-part for part in weight[note])))
    heaviest = sorted(inner - {lowest}, key=weight.__getitem__, reverse=True)
    return {highest, lowest, *heaviest[: voices - 2]}

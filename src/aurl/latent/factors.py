"""What is heard in a segment of a window: musical factors that latents may stand for.

Conventions: a note belongs to the segment in which it begins; drums have no pitch and no length; NaN where a segment
has nothing to measure. Times are in beats, or in seconds where the codec counts those.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aurl.studies.key import estimate_key
from aurl.studies.names import key_name
from aurl.tokens.velocity import DEFAULT_BIN, VELOCITY_OF_BIN
from aurl.tokens.vocabulary import (
    DRUM_PROGRAM,
    NOTE_OFF,
    NOTE_ON,
    PART,
    PROGRAM,
    STEP_SECONDS,
    STEPS_PER_BEAT,
    TIME_SHIFT,
    VELOCITY,
    Group,
    TimeBase,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FACTORS: Mapping[str, str] = {
    "density": "notes that begin per beat",
    "polyphony": "notes that sound together, where any does",
    "register": "mean pitch, 0–127",
    "pitch_range": "semitones from the lowest to the highest note",
    "pitch_entropy": "of the pitch classes, 0 to 3.58 bits",
    "dynamics": "mean velocity, 1–127",
    "note_length": "mean length in beats",
    "off_beat": "share of notes that begin off the beat",
}
"""Name → what it measures; with times in seconds, density and note_length are per second and in seconds."""
UNITS = {"beats": STEPS_PER_BEAT, "seconds": round(1 / STEP_SECONDS)}
"""Time base → steps of what density is counted in."""
OCTAVE, PITCHES = 12, 128
BEFORE = -1
"""Place of a note that began before the window."""


class Played(NamedTuple):
    """The notes of a window, in no order.

    Args:
        place: which of the ids begins it, counted from 0, or `BEFORE`.
        pitch: 0–127.
        velocity: 1–127.
        onset: step.
        offset: step, ≥ onset.
        is_drum: of each note.
        steps: (T,) time after each id.
        start: time before the first id.
    """

    place: Ints
    pitch: Ints
    velocity: Ints
    onset: Ints
    offset: Ints
    is_drum: NDArray[np.bool_]
    steps: Ints
    start: int


def read_played(ids: NDArray[np.int64], start_step: int, *, drums: bool = False) -> Played:
    """The notes of a window without padding, which may begin anywhere in a piece.

    Args:
        ids: (T,), its header first, if it has one.
        start_step: time before the first of them.
        drums: the piece is nothing but a drum kit, and its ids do not say so.
    """
    steps = start_step + np.cumsum(np.where(_among(ids, TIME_SHIFT), ids - TIME_SHIFT.start + 1, 0))
    at = np.flatnonzero(ids < NOTE_OFF.stop)
    declares, programs = _declared(ids)
    part = _running(ids, PART, min(programs, default=0), but=declares)[at]
    velocity = VELOCITY_OF_BIN[_running(ids, VELOCITY, DEFAULT_BIN)[at]].astype(np.int64)
    pitch, begins, time = ids[at] % PITCHES, ids[at] < NOTE_ON.stop, steps[at]
    order = np.argsort(part * PITCHES + pitch, kind="stable")
    lane = (part * PITCHES + pitch)[order]
    same = lane[1:] == lane[:-1]
    end = int(steps[-1]) if len(steps) else start_step
    until = np.append(np.where(same, time[order][1:], end), np.full(min(1, len(order)), end))
    first = np.insert(~same, 0, [True] * min(1, len(order)))
    on = begins[order]
    orphan = ~on & first  # an end whose note began before the window
    chosen = np.concatenate([order[on], order[orphan]])
    before = np.arange(len(chosen)) >= int(on.sum())
    return Played(
        place=np.where(before, BEFORE, at[chosen]),
        pitch=pitch[chosen],
        velocity=velocity[chosen],
        onset=np.where(before, start_step, time[chosen]),
        offset=np.concatenate([until[on], time[order[orphan]]]),
        is_drum=np.isin(part[chosen], [one for one, program in programs.items() if program == DRUM_PROGRAM]) | drums,
        steps=steps,
        start=start_step,
    )


def factors_of(played: Played, count: int, tokens: int | None, *, time_base: TimeBase = "beats") -> dict[str, Floats]:
    """Factor → `(count,)`, its value in each segment.

    Args:
        played: the notes of a window, the first of whose ids stands before the first segment.
        count: segments.
        tokens: ids of each segment; None: one segment holds all.
        time_base: what a step is.
    """
    begun = played.place > 0
    segment = _segment(played.place, tokens)
    unit = UNITS[time_base]
    edges = _edges(played, count, tokens)
    span = np.maximum(np.diff(edges), 1) / unit
    tones = begun & ~played.is_drum

    def mean(values: NDArray[np.generic], which: NDArray[np.bool_]) -> Floats:
        total = np.bincount(segment[which], weights=values[which].astype(np.float64), minlength=count)
        return _divided(total, np.bincount(segment[which], minlength=count))

    off = played.onset % STEPS_PER_BEAT != 0
    return {
        "density": np.bincount(segment[begun], minlength=count) / span,
        "polyphony": _polyphony(played, edges),
        "register": mean(played.pitch, tones),
        "pitch_range": _range(segment[tones], played.pitch[tones], count),
        "pitch_entropy": _entropy(segment[tones], played.pitch[tones], count),
        "dynamics": mean(played.velocity, begun),
        "note_length": mean((played.offset - played.onset) / unit, tones),
        "off_beat": mean(off, begun) if time_base == "beats" else np.full(count, np.nan),
    }


def keys_of(played: Played, count: int, tokens: int | None) -> list[str]:
    """The key of each segment by its own notes, as "Eb major"; empty where no key is likelier than another."""
    tones = (played.place > 0) & ~played.is_drum
    segment = _segment(played.place, tokens)
    names = []
    for number in range(count):
        here = tones & (segment == number)
        length = np.maximum(played.offset - played.onset, 1)[here]
        found = estimate_key(played.pitch[here], length)
        names.append("" if found is None else key_name(found.value))
    return names


def _segment(place: Ints, tokens: int | None) -> Ints:
    """Which segment each note begins in: the first id is before the first segment."""
    return np.zeros_like(place) if tokens is None else np.maximum(place - 1, 0) // tokens


def _edges(played: Played, count: int, tokens: int | None) -> Ints:
    """`(count + 1,)`: time at which each segment begins, and at which the last one ends."""
    last = len(played.steps) - 1
    ends = np.minimum((np.arange(1, count + 1)) * (last if tokens is None else tokens), last)
    return np.concatenate([[played.steps[0] if last >= 0 else played.start], played.steps[ends]])


def _polyphony(played: Played, edges: Ints) -> Floats:
    """Notes that sound together in each segment, averaged over the time in which any does."""
    start, end = int(edges[0]), int(edges[-1])
    tones = ~played.is_drum
    begin, stop = (np.clip(times[tones], start, end) - start for times in (played.onset, played.offset))
    change = np.bincount(begin, minlength=end - start + 1) - np.bincount(stop, minlength=end - start + 1)
    sounding = change.cumsum()[:-1]  # at each step
    total, covered = (np.concatenate([[0], column.cumsum()])[edges - start] for column in (sounding, sounding > 0))
    return _divided(np.diff(total), np.diff(covered))


def _range(segment: Ints, pitch: Ints, count: int) -> Floats:
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, segment, pitch)
    np.maximum.at(high, segment, pitch)
    return np.where(np.isfinite(low), high - np.where(np.isfinite(low), low, 0), np.nan)


def _entropy(segment: Ints, pitch: Ints, count: int) -> Floats:
    """Of the pitch classes of each segment, in bits."""
    counts = np.bincount(segment * OCTAVE + pitch % OCTAVE, minlength=count * OCTAVE).reshape(count, OCTAVE)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    bits = -(share * np.log2(np.where(share > 0, share, 1))).sum(1)
    return np.where(counts.any(1), bits + 0.0, np.nan)


def _divided(total: NDArray[Any], count: NDArray[Any]) -> Floats:
    """NaN where nothing is counted."""
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _among(ids: Ints, group: Group) -> NDArray[np.bool_]:
    return (ids >= group.start) & (ids < group.stop)


def _running(ids: Ints, group: Group, default: int, *, but: NDArray[np.bool_] | None = None) -> Ints:
    """The value in force at each id: that of the last id of `group`, those of `but` left out."""
    sets = _among(ids, group) if but is None else _among(ids, group) & ~but
    last = np.maximum.accumulate(np.where(sets, np.arange(len(ids)), -1))
    return np.where(last >= 0, ids[last] - group.start, default)


def _declared(ids: Ints) -> tuple[NDArray[np.bool_], dict[int, int]]:
    """Which PART ids only declare one (a PROGRAM follows), and part → program."""
    declares = np.zeros(len(ids), np.bool_)
    declares[:-1] = _among(ids, PART)[:-1] & _among(ids, PROGRAM)[1:]
    at = np.flatnonzero(declares)
    programs = zip((ids[at] - PART.start).tolist(), (ids[at + 1] - PROGRAM.start).tolist(), strict=True)
    return declares, dict(programs)

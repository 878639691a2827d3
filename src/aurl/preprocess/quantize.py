"""Notes onto a metrical grid. Absolute times are quantised, never durations or gaps, so nothing drifts."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Annotated, Literal, TypeVar, get_args

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from aurl.midi.score import Controls, Ints, KeySignatures, Notes, Score, Tempos, Text, TimeSignatures, Track
from aurl.preprocess.registry import PREPROCESS, Preprocessed, PreprocessStep

Mode = Literal["strict"]
Grid = Literal["1/4", "1/8", "1/16", "1/32", "1/4t", "1/8t", "1/16t"]
"""Note values; "t" is the triplet: three in the time of two."""
GRIDS: tuple[Grid, ...] = get_args(Grid)
MAX_TICKS_PER_BEAT = 2**15 - 1
"""What the header of a MIDI file can say."""

C = TypeVar("C", Controls, KeySignatures, Tempos, TimeSignatures)


@PREPROCESS.register("quantize")
def quantize(
    *, grid: Grid = "1/16", mode: Mode = "strict", strength: Annotated[float, Ge(0), Le(1)] = 1.0
) -> PreprocessStep:
    """Move onsets and offsets to the nearest point of a grid.

    A note lasts at least one grid step. Notes of one pitch that meet on one point become one, the longest and loudest
    (`quantize_merged`), and a note that would run into the next of its pitch ends there (`quantize_cut`). Where the
    grid does not divide a beat's ticks, the whole score gets finer ticks.

    Args:
        grid: distance of the grid points as a note value.
        mode: "strict": every note to the nearest point.
        strength: how far notes move, from 0 (not at all) to 1 (onto the grid).
    """
    if grid not in GRIDS:
        raise ValueError(f"unknown grid {grid!r}; known: {', '.join(GRIDS)}")
    if mode not in get_args(Mode):
        raise ValueError(f"unknown mode {mode!r}; known: {', '.join(get_args(Mode))}")
    return PreprocessStep(partial(_quantized, beats=grid_beats(grid), strength=strength))


def grid_beats(grid: Grid) -> Fraction:
    """Distance of grid points in quarter notes."""
    beats = Fraction(4, int(grid.removeprefix("1/").removesuffix("t")))
    return beats * Fraction(2, 3) if grid.endswith("t") else beats


def _quantized(score: Score, *, beats: Fraction, strength: float) -> Preprocessed:
    if not strength:
        return Preprocessed(score)
    score = _divisible(score, beats)
    step = int(beats * score.ticks_per_beat)
    repairs: Counter[str] = Counter()
    tracks = []
    for track in score.tracks:
        notes, counts = _without_collisions(_moved(track.notes, step, strength))
        tracks.append(replace(track, notes=notes))
        repairs.update(counts)
    return Preprocessed(replace(score, tracks=tuple(tracks)), dict(+repairs))


def _moved(notes: Notes, step: int, strength: float) -> Notes:
    """Notes drawn towards multiples of `step` ticks."""
    onset = _nearest(notes.onset, step)
    offset = np.maximum(_nearest(notes.offset, step), onset + step)
    if strength < 1:
        onset = notes.onset + np.rint(strength * (onset - notes.onset)).astype(np.int64)
        offset = notes.offset + np.rint(strength * (offset - notes.offset)).astype(np.int64)
    return replace(notes, onset=onset, duration=np.maximum(offset - onset, 1))


def _nearest(ticks: Ints, step: int) -> Ints:
    nearest: Ints = (2 * ticks + step) // (2 * step) * step
    return nearest


def _without_collisions(notes: Notes) -> tuple[Notes, dict[str, int]]:
    """At most one note of a pitch at a time."""
    if not len(notes):
        return notes, {}
    notes = notes.take(np.lexsort((notes.duration, notes.onset, notes.pitch)))
    fresh = np.append(True, (np.diff(notes.pitch) != 0) | (np.diff(notes.onset) != 0))
    first = np.flatnonzero(fresh)
    merged = len(notes) - len(first)
    if merged:
        velocity = np.maximum.reduceat(notes.velocity, first)
        notes = replace(notes.take(np.append(first[1:], len(notes)) - 1), velocity=velocity)
    until = np.append(notes.onset[1:], 0)
    cut = np.append(np.diff(notes.pitch) == 0, False) & (notes.offset > until)
    notes = replace(notes, duration=np.where(cut, until - notes.onset, notes.duration))
    return notes.ordered(), {"quantize_merged": merged, "quantize_cut": int(np.count_nonzero(cut))}


def _divisible(score: Score, beats: Fraction) -> Score:
    """The same score with ticks so fine that grid points fall on them."""
    step = beats * score.ticks_per_beat
    finer = score.ticks_per_beat * step.denominator
    if finer > MAX_TICKS_PER_BEAT:
        finer = MAX_TICKS_PER_BEAT // beats.denominator * beats.denominator
    return score if step.denominator == 1 else _rescaled(score, finer)


def _rescaled(score: Score, ticks_per_beat: int) -> Score:
    """All times in ticks of another length, rounded where they do not fall on one."""
    old = score.ticks_per_beat

    def scaled(ticks: Ints) -> NDArray[np.int64]:
        return (2 * ticks * ticks_per_beat + old) // (2 * old)

    def columns(rows: C) -> C:
        return replace(rows, tick=scaled(rows.tick))

    def texts(entries: tuple[Text, ...]) -> tuple[Text, ...]:
        return tuple(replace(entry, tick=int(scaled(np.array([entry.tick]))[0])) for entry in entries)

    def track(one: Track) -> Track:
        onset = scaled(one.notes.onset)
        notes = replace(one.notes, onset=onset, duration=scaled(one.notes.offset) - onset)
        return replace(one, notes=notes, controls=columns(one.controls), lyrics=texts(one.lyrics))

    return replace(
        score,
        ticks_per_beat=ticks_per_beat,
        tracks=tuple(track(one) for one in score.tracks),
        tempos=columns(score.tempos),
        time_signatures=columns(score.time_signatures),
        key_signatures=columns(score.key_signatures),
        markers=texts(score.markers),
    )

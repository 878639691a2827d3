"""Notes onto a metrical grid. Absolute times are quantised, never durations or gaps, so nothing drifts."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import Annotated, Literal, get_args

import numpy as np
from annotated_types import Ge, Gt, Le, MinLen

from aurl.midi.score import Ints, Notes, Score, joined
from aurl.preprocess.adaptive import adaptive_targets, beat_grids
from aurl.preprocess.collisions import apart
from aurl.preprocess.grid import GRIDS, Grid, Lattice, grid_beats
from aurl.preprocess.groove import groove_targets
from aurl.preprocess.registry import PREPROCESS, Preprocessed, PreprocessStep
from aurl.preprocess.ticks import divisible

Mode = Literal["strict", "groove", "adaptive"]
Targets = Callable[[Score], tuple[Ints, Ints]]
"""Score → where the notes of all tracks, one table after the other, are to begin and to end."""


@PREPROCESS.register("quantize")
def quantize(
    *,
    grid: Grid | Annotated[tuple[Grid, ...], MinLen(1)] = "1/16",
    mode: Mode = "strict",
    strength: Annotated[float, Ge(0), Le(1)] = 1.0,
    tolerance: Annotated[float, Gt(0), Le(0.25)] = 0.04,
) -> PreprocessStep:
    """Move onsets and offsets to the nearest point of a grid.

    A note lasts at least one grid step. Notes of one pitch that meet on one point become one, the longest and loudest
    (`quantize_merged`), and a note that would run into the next of its pitch ends there (`quantize_cut`). Where the
    grid does not divide a beat's ticks, the whole score gets finer ticks.

    Args:
        grid: distance of the grid points as a note value, or several: then the points of all of them count, and where
            it is close the straight ones win over triplets.
        mode: "strict": every note to the nearest point; "groove": there but for the deviation that is usual at its
            place in the bar, so that swing stays; "adaptive": each beat gets the coarsest grid that fits, straight or
            triplet, none finer than `grid`.
        strength: how far notes move, from 0 (not at all) to 1 (all the way).
        tolerance: how far players miss what they mean, in beats; only "adaptive" asks.
    """
    grids: tuple[Grid, ...] = (grid,) if isinstance(grid, str) else tuple(grid)
    if not grids or not set(grids) <= set(GRIDS):
        raise ValueError(f"unknown grid {grid!r}; known: {', '.join(GRIDS)}")
    if mode not in get_args(Mode):
        raise ValueError(f"unknown mode {mode!r}; known: {', '.join(get_args(Mode))}")
    if mode == "adaptive":
        grids = beat_grids(grids)
        targets: Targets = partial(_adaptive, grids=grids, tolerance=tolerance)
    else:
        targets = partial(_groove if mode == "groove" else _strict, grids=grids)
    return PreprocessStep(partial(_quantized, grids=grids, targets=targets, strength=strength))


def _strict(score: Score, *, grids: Sequence[Grid]) -> tuple[Ints, Ints]:
    lattice = Lattice.of(grids, score.ticks_per_beat)
    notes = _all_notes(score)
    onset = lattice.nearest(notes.onset)
    return onset, lattice.ends(onset, notes.offset)


def _groove(score: Score, *, grids: Sequence[Grid]) -> tuple[Ints, Ints]:
    return groove_targets(score, Lattice.of(grids, score.ticks_per_beat))


def _adaptive(score: Score, *, grids: Sequence[Grid], tolerance: float) -> tuple[Ints, Ints]:
    notes = _all_notes(score)
    return adaptive_targets(
        notes.onset, notes.offset, grids=grids, ticks_per_beat=score.ticks_per_beat, tolerance=tolerance
    )


def _all_notes(score: Score) -> Notes:
    return joined([track.notes for track in score.tracks])


def _quantized(score: Score, *, grids: Sequence[Grid], targets: Targets, strength: float) -> Preprocessed:
    if not strength:
        return Preprocessed(score)
    score = divisible(score, map(grid_beats, grids))
    if not score.note_count:
        return Preprocessed(score)
    onset, offset = targets(score)
    repairs: Counter[str] = Counter()
    tracks = []
    stops = accumulate(len(track.notes) for track in score.tracks)
    for track, stop in zip(score.tracks, stops, strict=True):
        mine = slice(stop - len(track.notes), stop)
        done = apart(_moved(track.notes, onset[mine], offset[mine], strength))
        tracks.append(replace(track, notes=done.notes))
        repairs.update(done.repairs("quantize"))
    return Preprocessed(replace(score, tracks=tuple(tracks)), dict(+repairs))


def _moved(notes: Notes, onset: Ints, offset: Ints, strength: float) -> Notes:
    """Notes drawn towards where they should begin and end."""
    if strength < 1:
        onset = notes.onset + np.rint(strength * (onset - notes.onset)).astype(np.int64)
        offset = notes.offset + np.rint(strength * (offset - notes.offset)).astype(np.int64)
    return replace(notes, onset=onset, duration=np.maximum(offset - onset, 1))

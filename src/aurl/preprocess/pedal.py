"""Pedals turned into the lengths of notes, or taken away."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from aurl.midi.score import Controls, Ints, Notes, Score, Track
from aurl.preprocess.registry import PREPROCESS, Preprocessed, PreprocessStep

Mode = Literal["extend", "ignore"]
SUSTAIN, SOSTENUTO, SOFT = 64, 66, 67
DOWN = 64
"""Control values from here on mean that the pedal is down (MIDI 1.0)."""


@PREPROCESS.register("pedal")
def pedal(*, mode: Mode = "extend") -> PreprocessStep:
    """Turn pedals into longer notes, or take them away.

    A note whose key is released while the sustain pedal of its track is down ends when the pedal goes up, or where the
    same pitch is struck again in the track. The sostenuto pedal holds the notes whose keys are down when it goes down.
    A pedal that never goes up does so where the last key is released.

    Args:
        mode: "extend": as above, and sustain and sostenuto are removed; "ignore": notes stay as the keys were held,
            and all three pedals are removed.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"unknown mode {mode!r}; known: {', '.join(get_args(Mode))}")
    return PreprocessStep(partial(_pedalled, change=_extended if mode == "extend" else _ignored))


def _pedalled(score: Score, *, change: Callable[[Track, int], Track]) -> Preprocessed:
    end = score.end_tick
    tracks = tuple(change(track, end) if len(track.controls) else track for track in score.tracks)
    return Preprocessed(replace(score, tracks=tracks))


def _ignored(track: Track, _: int) -> Track:
    return replace(track, controls=_without(track.controls, (SUSTAIN, SOSTENUTO, SOFT)))


def _extended(track: Track, end: int) -> Track:
    notes, offset = track.notes, track.notes.offset
    down, up = _presses(track.controls, SOSTENUTO, end)
    if len(down):
        last = np.searchsorted(down, offset, side="left") - 1
        held = (last >= 0) & (down[last] >= notes.onset)
        offset = np.where(held, np.maximum(offset, up[last]), offset)
    down, up = _presses(track.controls, SUSTAIN, end)
    if len(down):
        last = np.searchsorted(down, offset, side="right") - 1
        offset = np.where(last >= 0, np.maximum(offset, up[last]), offset)
    length = np.maximum(np.minimum(offset, _struck_again(notes)) - notes.onset, notes.duration)
    controls = _without(track.controls, (SUSTAIN, SOSTENUTO))
    return replace(track, notes=notes.with_durations(length), controls=controls)


def _presses(controls: Controls, number: int, end: int) -> tuple[Ints, Ints]:
    """Ticks at which a pedal goes down and up again."""
    rows = controls.number == number
    tick, is_down = controls.tick[rows], controls.value[rows] >= DOWN
    turns: NDArray[np.bool_] = np.diff(is_down, prepend=False) != 0
    down, up = tick[turns & is_down], tick[turns & ~is_down]
    return down, np.append(up, max(end, int(tick[-1]))) if len(up) < len(down) else up


def _struck_again(notes: Notes) -> Ints:
    """Tick at which the pitch of each note is struck the next time, the end of time where never."""
    order = np.lexsort((notes.onset, notes.pitch))
    onset, pitch = notes.onset[order], notes.pitch[order]
    later = np.full(len(notes), np.iinfo(np.int64).max)
    same = np.flatnonzero(pitch[1:] == pitch[:-1])
    later[order[same]] = onset[same + 1]
    return later


def _without(controls: Controls, numbers: tuple[int, ...]) -> Controls:
    return controls.take(~np.isin(controls.number, numbers))

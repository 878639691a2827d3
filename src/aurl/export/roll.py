"""What piano rolls are drawn from: the notes of each track as rectangles in seconds, and their colours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from aurl.midi.clock import seconds_at
from aurl.midi.instruments import instrument_name
from aurl.midi.score import Score, Track

MIN_SEMITONES = 24
"""The least range that is shown, so that a single note is not a wall."""
PALETTE = ("#4269d0", "#e8890c", "#d1495b", "#2a9d8f", "#3ca951", "#c2569b", "#8e5bd0", "#5b9bd5", "#8a5a3b", "#5f6b7a")
FAINTEST = 0.3
"""Opacity of velocity 0; velocity 127 is opaque."""
NOTE_HEIGHT, NOTE_WIDTH = 0.86, 1 / 2000
"""Semitones, and the least share of the drawn time."""
DRUM_WIDTH = 1 / 400
"""Share of the drawn time that a drum hit takes: written durations of drums mean nothing."""


@dataclass(frozen=True)
class Lane:
    """The notes of one track as drawn: start and end in seconds; `row` is the pitch, or a drum's place in the kit."""

    track: Track
    label: str
    colour: str
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    row: NDArray[np.int64]


def lanes_of(score: Score) -> list[Lane]:
    """A lane for each track that has notes."""
    sounding = [track for track in score.tracks if len(track.notes)]
    kit = np.unique(np.concatenate([[], *(track.notes.pitch for track in sounding if track.is_drum)]))
    lanes = []
    for track, colour in zip(sounding, _colours(sounding), strict=True):
        row = np.searchsorted(kit, track.notes.pitch) if track.is_drum else track.notes.pitch.astype(np.int64)
        start, end = seconds_at(score, track.notes.onset), seconds_at(score, track.notes.offset)
        lanes.append(Lane(track, _label(track), colour, start, end, row))
    return lanes


def _colours(tracks: Sequence[Track]) -> list[str]:
    """One colour per track while the palette lasts (four voices of one instrument stay apart), else per program."""
    if len(tracks) <= len(PALETTE):
        return list(PALETTE[: len(tracks)])
    kinds = [(track.is_drum, track.program) for track in tracks]
    known = list(dict.fromkeys(kinds))
    return [PALETTE[known.index(kind) % len(PALETTE)] for kind in kinds]


def _label(track: Track) -> str:
    instrument = instrument_name(track.program, is_drum=track.is_drum)
    return f"{track.name} ({instrument})" if track.name and track.name != instrument else instrument


def row_limits(lanes: Sequence[Lane], *, least: int = MIN_SEMITONES) -> tuple[float, float]:
    """Lowest and highest row of the lanes, at least `least` apart."""
    low = min((int(lane.row.min()) for lane in lanes), default=60)
    high = max((int(lane.row.max()) for lane in lanes), default=60)
    missing = max(0, least - (high - low)) / 2
    return low - missing, high + missing


def draw_lanes(axis: Axes, lanes: Sequence[Lane], begin: float, end: float, *, hit: float = DRUM_WIDTH) -> None:
    """Draw what sounds between two moments, in seconds; `hit` is the share of that time that a drum hit takes."""
    axis.set_xlim(begin, end)
    for lane in lanes:
        seen = (lane.start < end) & (lane.end >= begin)
        notes = lane.track.notes
        left = lane.start[seen]
        least = (end - begin) * (hit if lane.track.is_drum else NOTE_WIDTH)
        right = left + least if lane.track.is_drum else np.maximum(lane.end[seen], left + least)
        bottom = lane.row[seen] - NOTE_HEIGHT / 2
        top = bottom + NOTE_HEIGHT
        corners = np.stack([left, bottom, right, bottom, right, top, left, top], axis=1).reshape(-1, 4, 2)
        colours = np.empty((len(left), 4))
        colours[:, :3] = to_rgb(lane.colour)
        colours[:, 3] = FAINTEST + (1 - FAINTEST) * notes.velocity[seen] / 127
        axis.add_collection(
            PolyCollection(cast("Any", corners), facecolors=colours, edgecolors="white", linewidths=0.25)
        )

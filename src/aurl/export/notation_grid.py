"""Where music falls on paper: notes on a grid of sixteenths or of eighth triplets, and the bars around them."""

from dataclasses import dataclass
from math import lcm

import numpy as np
from numpy.typing import NDArray

from aurl.midi.clock import DEFAULT_METER, bar_ticks
from aurl.midi.score import Ints, Notes, Score, TimeSignatures, Track
from aurl.preprocess.collisions import apart

STRAIGHT, TRIPLET = 4, 3
"""Points of a beat: sixteenths, or eighth triplets."""
COARSEST_DIVISIONS = STRAIGHT * TRIPLET
END_WEIGHT = 0.25
"""What the end of a note says of a beat's grid beside its begin: players mean where they begin."""
CLEARLY = 1e-9
"""Beats in which both grids fit alike are straight."""


@dataclass(frozen=True)
class Sheet:
    """A score on its grid; all times are in divisions of a quarter note.

    Args:
        divisions: of a quarter note, 3·2ᵏ.
        bars: where bars begin, and where the last one ends.
        meters: (numerator, denominator) of each bar.
        notes: of each track of the score; at most one of a pitch at a time.
    """

    divisions: int
    bars: Ints
    meters: tuple[tuple[int, int], ...]
    notes: tuple[Notes, ...]

    def bar_of(self, place: int) -> int:
        """The bar that a place is in, the last one after the end."""
        return min(int(np.searchsorted(self.bars, place, side="right")), len(self.meters)) - 1


def sheet(score: Score) -> Sheet:
    """The score as it is written down.

    Each beat is divided by four or by three, whichever is nearer to what begins and ends in it. A note lasts at least
    one point; notes of one pitch in a track that would overlap give way as in the preprocessing step `quantize`. A
    drum sounds, on paper, until the next one of its track or the end of its beat.
    """
    divisions = _divisions(score.time_signatures)
    grid = _Grid(score, divisions)
    notes = tuple(grid.placed(track) for track in score.tracks)
    end = max((int(table.offset.max()) for table in notes if len(table)), default=1)
    bars, meters = _bars(score, divisions, end)
    return Sheet(divisions, bars, meters, notes)


def place_at(score: Score, tick: int, divisions: int) -> int:
    """The sixteenth nearest to a tick, in divisions."""
    return (2 * STRAIGHT * tick + score.ticks_per_beat) // (2 * score.ticks_per_beat) * (divisions // STRAIGHT)


def _divisions(meters: TimeSignatures) -> int:
    """As many as put every bar line on one."""
    finest = max(meters.denominator.tolist(), default=1)
    return lcm(COARSEST_DIVISIONS, TRIPLET * max(1, finest // 4))


class _Grid:
    """Which beats are divided by three, and where that puts things."""

    def __init__(self, score: Score, divisions: int) -> None:
        self._ticks, self._divisions = score.ticks_per_beat, divisions
        begins = [track.notes.onset for track in score.tracks if not track.is_drum]
        begins += [track.notes.onset for track in score.tracks if track.is_drum]
        ends = [track.notes.offset for track in score.tracks if not track.is_drum]
        ticks = np.concatenate([*begins, *ends]) if begins else np.zeros(0, np.int64)
        weights = np.ones(len(ticks))
        weights[sum(map(len, begins)) :] = END_WEIGHT
        beats, index = np.unique(ticks // self._ticks, return_inverse=True)
        miss = [np.bincount(index, weights * self._miss(ticks, n), len(beats)) for n in (STRAIGHT, TRIPLET)]
        self._triplets = beats[miss[1] < miss[0] - CLEARLY]

    def _miss(self, ticks: Ints, points: int) -> NDArray[np.float64]:
        """How far ticks are from points of their beat, in beats."""
        share = ticks % self._ticks / self._ticks * points
        missed: NDArray[np.float64] = np.abs(share - np.rint(share)) / points
        return missed

    def _step(self, ticks: Ints) -> Ints:
        """Divisions between the points of the beat that each tick is in."""
        is_triplet = np.isin(ticks // self._ticks, self._triplets)
        return np.where(is_triplet, self._divisions // TRIPLET, self._divisions // STRAIGHT)

    def _nearest(self, ticks: Ints) -> Ints:
        step = self._step(ticks)
        points = self._divisions // step
        within = (2 * points * (ticks % self._ticks) + self._ticks) // (2 * self._ticks)
        nearest: Ints = ticks // self._ticks * self._divisions + within * step
        return nearest

    def placed(self, track: Track) -> Notes:
        """The notes of a track, in divisions."""
        notes = track.notes
        if not len(notes):
            return notes
        onset = self._nearest(notes.onset)
        least = onset + self._step(onset * self._ticks // self._divisions)
        end = self._struck(onset) if track.is_drum else np.maximum(self._nearest(notes.offset), least)
        return apart(Notes(onset, end - onset, notes.pitch, notes.velocity)).notes

    def _struck(self, onset: Ints) -> Ints:
        """Where drums that begin at each place end on paper."""
        places = np.unique(onset)
        ends = np.minimum(
            np.append(places[1:], np.iinfo(np.int64).max), (places // self._divisions + 1) * self._divisions
        )
        ended: Ints = ends[np.searchsorted(places, onset)]
        return ended


def _bars(score: Score, divisions: int, end: int) -> tuple[Ints, tuple[tuple[int, int], ...]]:
    """Where bars begin and the last one ends, and their meters."""
    rows = zip(
        *(getattr(score.time_signatures, name).tolist() for name in ("tick", "numerator", "denominator")), strict=True
    )
    changes = {0: DEFAULT_METER} | {place_at(score, tick, divisions): (n, d) for tick, n, d in rows}
    changes = {place: meter for place, meter in sorted(changes.items()) if place < end}
    table = TimeSignatures(list(changes), *zip(*changes.values(), strict=True))  # type: ignore[arg-type]
    begins = bar_ticks(Score(ticks_per_beat=divisions, time_signatures=table), end - 1)
    in_force = np.searchsorted(table.tick, begins, side="right") - 1
    meters = tuple(list(changes.values())[index] for index in in_force.tolist())
    numerator, denominator = meters[-1]
    last = int(begins[-1]) + max(4 * divisions * numerator // denominator, 1)
    return np.append(begins, last), meters

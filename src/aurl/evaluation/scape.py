"""Whether a piece says things again: fitness scape plots and the structureness that is read off them.

M. Müller, N. Jiang & P. Grosche, "A Robust Fitness Measure for Capturing Repetitions in Music Recordings with
Applications to Audio Thumbnailing", IEEE TASLP 2013. S.-L. Wu & Y.-H. Yang, "The Jazz Transformer on the Front Line",
ISMIR 2020, read three numbers off the plot; the settings are those of their toolbox MusDr. Chroma is how long pitch
classes sound, where they take it from audio.
"""

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from aurl.midi.clock import seconds_at
from aurl.midi.score import Score
from aurl.studies.pitch_classes import OCTAVE
from aurl.studies.sounding import sounding

Matrix = NDArray[np.float64]

FRAMES_PER_SECOND, SMOOTHED_FRAMES, FRAMES_PER_CELL = 10, 21, 5
RATE = FRAMES_PER_SECOND // FRAMES_PER_CELL
"""Cells of the matrix per second."""
PATH_CELLS = 16
"""Similarity is the mean along paths of this length."""
TEMPI = 2.0 ** np.linspace(-1, 1, 7)
"""Relative tempi at which something may come back."""
KEPT_SHARE, PENALTY = 0.25, -2.0
"""The most similar pairs keep their similarity; what others cost."""
SILENT = 0.001
"""Norm of smoothed chroma, in seconds, below which a frame is taken for silent: alike to all in the same measure."""
TIMESCALES = {"short": (3, 8), "mid": (8, 15), "long": (15, None)}
"""Seconds that a repeated segment lasts."""

SCORE_BITS, FIELD_BITS = 16, 12
CELL, ROW = 1 << FIELD_BITS, 1
UNIT = 1 << (2 * FIELD_BITS)
FIELD = CELL - 1
NEVER = -(1 << 60)
"""A path family as one integer: its score in 2⁻¹⁶, its cells, its rows, so that one maximum chooses all three. Among
families of equal score the one with more cells is taken."""


class Structureness(NamedTuple):
    """Greatest fitness of a segment of 3–8, 8–15 and ≥ 15 seconds, 0 (nothing comes back) to 1."""

    short: float
    mid: float
    long: float


def structureness(score: Score) -> Structureness:
    """How well one segment, with what it comes back as, explains the piece, for three lengths; NaN without pitches.

    0 where the piece is shorter than the segment. Time grows with the fourth power of the length: seconds for three
    minutes of music, so excerpts serve long pieces better.
    """
    chroma = _chroma(score)
    if not len(chroma):
        return Structureness(*[float("nan")] * len(TIMESCALES))
    fitness = scape_plot(self_similarity(chroma), least=min(low for low, _ in TIMESCALES.values()) * RATE)
    return Structureness(*(_best(fitness, low, high) for low, high in TIMESCALES.values()))


def _best(fitness: Matrix, low: int, high: int | None) -> float:
    part = fitness[low * RATE - 1 : None if high is None else high * RATE]
    return float(part.max()) if part.size else 0.0


def _chroma(score: Score) -> Matrix:
    """`(N, 12)`: pitch classes at `RATE` per second, smoothed, of length 1; empty without pitched notes."""
    notes = [track.notes for track in score.tracks if not track.is_drum and len(track.notes)]
    if not notes:
        return np.empty((0, OCTAVE))
    onset, offset = (
        seconds_at(score, np.concatenate([getattr(n, edge) for n in notes])) for edge in ("onset", "offset")
    )
    frames = -(-int(np.ceil(offset.max() * FRAMES_PER_SECOND)) // FRAMES_PER_CELL) * FRAMES_PER_CELL
    edges = np.arange(frames + 1) / FRAMES_PER_SECOND
    classes = sounding(onset, offset, np.concatenate([n.pitch for n in notes]), edges).classes
    window = np.hanning(SMOOTHED_FRAMES + 2)[1:-1]
    smooth = np.apply_along_axis(np.convolve, 0, classes, window / window.sum(), "same")[::FRAMES_PER_CELL]
    norm = np.linalg.norm(smooth, axis=1, keepdims=True)
    alike: Matrix = np.where(norm < SILENT, OCTAVE**-0.5, smooth / np.maximum(norm, SILENT))
    return alike


def self_similarity(chroma: Matrix) -> Matrix:
    """`(N, N)`: how alike what follows (or came before) two moments is, in any key and tempo; 1 on the diagonal.

    The greatest mean cosine along paths of `PATH_CELLS` forward or backward; the highest quarter scaled to 0…1, the
    rest at `PENALTY`.

    Args:
        chroma: `(N, 12)`, rows of length 1.
    """
    count = len(chroma)
    best = np.zeros((count, count))
    for shift in range(OCTAVE):
        cosine = chroma @ np.roll(chroma, shift, axis=1).T
        for step in (1, -1):
            for tempo in TEMPI:
                np.maximum(best, _along(cosine, step, tempo), out=best)
    return _enhanced(best)


def _along(cosine: Matrix, step: int, tempo: float) -> Matrix:
    """The mean of `PATH_CELLS` cells along a path from each cell; what lies outside counts as 0."""
    count = len(cosine)
    total = np.zeros_like(cosine)
    for place in range(PATH_CELLS):
        down, right = step * place, step * round(place * float(tempo))
        if abs(down) >= count or abs(right) >= count:
            break
        rows, columns = _overlap(down, count), _overlap(right, count)
        total[rows[0], columns[0]] += cosine[rows[1], columns[1]]
    return total / PATH_CELLS


def _overlap(by: int, count: int) -> tuple[slice, slice]:
    """Places that have another one so far behind them, and those others."""
    here = slice(max(-by, 0), min(count, count - by))
    return here, slice(here.start + by, here.stop + by)


def _enhanced(similarity: Matrix) -> Matrix:
    threshold = np.quantile(similarity, 1 - KEPT_SHARE)
    kept = similarity >= threshold
    spread = similarity.max() - threshold
    scaled = (similarity - threshold) / spread if spread else np.ones_like(similarity)
    enhanced = np.where(kept, scaled, PENALTY)
    np.fill_diagonal(enhanced, 1.0)
    return enhanced


def scape_plot(similarity: Matrix, *, least: int = 1) -> Matrix:
    """`(N, N)`: fitness of the segment of `row + 1` cells that begins at `column`; 0 where there is none.

    Fitness is the harmonic mean of normalized score and normalized coverage of the optimal path family over the
    segment, both without what the segment has in common with itself.

    Args:
        similarity: `(N, N)`, at most 1 and 1 on the diagonal; N < 4,096.
        least: cells of the shortest segment that is looked at.
    """
    count = len(similarity)
    fitness = np.zeros((count, count))
    worth = np.rint(similarity * (1 << SCORE_BITS)).astype(np.int64) * UNIT + CELL + ROW
    for length in range(least, count + 1):
        family = _families(worth, length)
        score = (family // UNIT) / (1 << SCORE_BITS)
        cells, rows = family // CELL & FIELD, family & FIELD
        gain = np.maximum(score - length, 0) / cells
        coverage = np.maximum(rows - length, 0) / count
        both = gain + coverage
        mean = np.divide(2 * gain * coverage, both, out=np.zeros_like(both), where=both > 0)
        fitness[length - 1, : len(mean)] = mean
    return fitness


def _families(worth: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """`(N − length + 1,)`: the best path family over the segment of so many cells from each start, all at once.

    Paths go by (1, 1), (1, 2) or (2, 1) through all of the segment and follow one another in time.
    """
    count = len(worth)
    shape = count - length + 1, length
    idle = np.zeros(count - length + 1, np.int64)  # the best family so far of which no path is under way
    before, last = np.full(shape, NEVER), np.full(shape, NEVER)  # two rows ago, and in the last row
    for here in sliding_window_view(worth, length, axis=1):  # (starts, length) of each row
        idle_now = np.maximum(idle, last[:, -1])
        now = np.empty(shape, np.int64)
        now[:, 0] = idle_now
        np.maximum(last[:, :-1], before[:, :-1] + ROW, out=now[:, 1:])
        np.maximum(now[:, 2:], last[:, :-2], out=now[:, 2:])
        now += here
        idle, before, last = idle_now, last, now
    best: NDArray[np.int64] = np.maximum(idle, last[:, -1])
    return best

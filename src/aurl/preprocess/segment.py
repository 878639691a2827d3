"""Long pieces as several, divided at bar lines."""

from functools import partial
from typing import Annotated, Literal, get_args

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from aurl.errors import UsageError
from aurl.midi.clock import bar_ticks
from aurl.midi.score import Score
from aurl.preprocess.excerpt import excerpt
from aurl.preprocess.phrases import bar_strengths
from aurl.preprocess.registry import PREPROCESS, Preprocessed, PreprocessStep

By = Literal["bars", "phrases"]
PULL = 1.0
"""What a cut costs where no boundary is: as much as a segment that is twice as long as it should be (1²)."""
_END_OF_TIME = np.iinfo(np.int64).max


@PREPROCESS.register("segment")
def segment(
    *, by: By = "bars", bars: Annotated[int, Ge(1)] = 16, min_bars: Annotated[int, Ge(1)] = 4
) -> PreprocessStep:
    """Divide long pieces at bar lines into pieces of their own.

    Each begins on a bar line with the tempo, meter, key and controls in force there. Every onset is in one of them; a
    note that sounds over a cut ends there (`segment_cut`). Stretches without notes are left out.

    Args:
        by: "bars": every `bars` bars; "phrases": about as long, where the melody has its strongest boundaries.
        bars: length of a segment; for "phrases" up to twice as many.
        min_bars: a shorter rest at the end stays with the segment before it; for "phrases" no segment is shorter.
    """
    if by not in get_args(By):
        raise ValueError(f"unknown choice {by!r}; known: {', '.join(get_args(By))}")
    if min_bars > bars:
        raise UsageError(f"segments of {bars} bars cannot be at least {min_bars} long", hint="lower min_bars")
    return PreprocessStep(partial(_divided, by=by, bars=bars, min_bars=min_bars), selects=True)


def _divided(score: Score, *, by: By, bars: int, min_bars: int) -> Preprocessed:
    if not score.note_count:
        return Preprocessed(score)
    onset = np.sort(np.concatenate([track.notes.onset for track in score.tracks]))
    lines = bar_ticks(score, int(onset[-1]))
    if by == "bars":
        cuts = _regular(len(lines), bars, min_bars)
    else:
        cuts = _at_phrases(bar_strengths(score, lines), bars, min_bars)
    if len(cuts) == 1:
        return Preprocessed(score)
    edges = np.append(lines[cuts], _END_OF_TIME)
    plays = np.diff(np.searchsorted(onset, edges)) > 0
    stretches = zip(edges[:-1][plays].tolist(), edges[1:][plays].tolist(), strict=True)
    pieces = [excerpt(score, start, stop) for start, stop in stretches]
    cut = sum(shortened for _, shortened in pieces)
    first, *rest = (piece for piece, _ in pieces)
    return Preprocessed(first, {"segment_cut": cut} if cut else {}, tuple(rest))


def _regular(count: int, bars: int, min_bars: int) -> list[int]:
    """Bars with which segments begin; `count` bars are there."""
    starts = list(range(0, count, bars))
    return starts[:-1] if len(starts) > 1 and count - starts[-1] < min_bars else starts


def _at_phrases(strength: NDArray[np.float64], bars: int, min_bars: int) -> list[int]:
    """Bars with which segments begin, so that boundaries are strong and lengths near `bars` (dynamic programming)."""
    count = len(strength)
    needed = max(count // bars - 1, 1)
    strong = np.sort(strength)[-needed]  # not the strongest: one long rest must not make all others weak
    weakness = PULL * np.maximum(1 - strength / strong, 0) if strong else np.zeros(count)
    lengths = np.arange(min_bars, 2 * bars + 1)
    penalty = np.square(lengths / bars - 1)
    cost = np.full(count + 1, np.inf)
    cost[0] = 0.0
    came_from = np.zeros(count + 1, np.int64)
    for stop in range(min_bars, count + 1):
        possible = stop - lengths[: stop - min_bars + 1]
        total = cost[possible] + penalty[: len(possible)]
        best = int(total.argmin())
        came_from[stop] = possible[best]
        cost[stop] = total[best] + (weakness[stop] if stop < count else 0.0)
    starts = [int(came_from[count])]
    while starts[-1]:
        starts.append(int(came_from[starts[-1]]))
    return starts[::-1]

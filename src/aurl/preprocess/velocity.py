"""Loudness brought to one level, with the piece's own dynamics kept."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import accumulate
from statistics import NormalDist
from typing import Annotated, Literal, get_args

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from aurl.midi.score import Ints, Score, joined
from aurl.preprocess.registry import PREPROCESS, Preprocessed, PreprocessStep

Curve = Literal["linear", "soft", "hard", "s_curve", "histogram"]
Floats = NDArray[np.float64]
QUIETEST, LOUDEST = 1, 127
MOST_GAIN = 4.0
"""A piece that hardly varies is played so on purpose: its few differences are not blown up further than this."""
BEND = 1.8
"""Exponent of the bent curves: the middle of the range moves by a fifth of it."""
NOISE_DIGITS = 6
"""Decimals that count: rounding errors are no dynamics."""
REACH = 3.0
"""Standard deviations that count as the whole range of a curve."""


@PREPROCESS.register("velocity")
def velocity(
    *,
    mean: Annotated[float, Ge(QUIETEST), Le(LOUDEST)] = 72.0,
    spread: Annotated[float, Ge(0), Le(64)] = 16.0,
    curve: Curve = "linear",
    phrase_beats: Annotated[float, Gt(0)] = 8.0,
    drums: bool = True,
) -> PreprocessStep:
    """Bring velocities to one mean and spread; crescendi, phrases and the balance of the tracks stay.

    All tracks are taken together. The slow part of the loudness, its mean over a window of `phrase_beats`, keeps its
    shape; the curve bends only how single notes stand out of it. A piece of one velocity gets `mean` throughout, and no
    spread is widened more than four times. `velocity_clipped` counts notes that would have left 1–127.

    Args:
        mean: of all velocities afterwards.
        spread: their standard deviation afterwards.
        curve: how a note stands out of its phrase. "linear": as played; "soft": loud notes become alike, quiet ones
            stand out; "hard": the other way round; "s_curve": quiet and loud ones are driven apart; "histogram": ranks
            become a bell curve, whatever the touch of the player was.
        phrase_beats: length of the window in beats.
        drums: drums are changed, too; they never count for the others.
    """
    if curve not in get_args(Curve):
        raise ValueError(f"unknown curve {curve!r}; known: {', '.join(get_args(Curve))}")
    level = partial(_levelled, mean=mean, spread=spread, bend=_CURVES[curve], beats=phrase_beats)
    return PreprocessStep(partial(_normalized, level=level, drums=drums))


def _normalized(score: Score, *, level: Callable[..., Floats], drums: bool) -> Preprocessed:
    """Kits by themselves, for their velocities mean something else."""
    clipped = 0
    tracks = list(score.tracks)
    for kit in (False, True) if drums else (False,):
        places = [index for index, track in enumerate(tracks) if track.is_drum is kit and len(track.notes)]
        if not places:
            continue
        notes = joined([tracks[index].notes for index in places])
        wanted = np.rint(level(notes.onset, notes.velocity.astype(np.float64), score.ticks_per_beat))
        loudness = np.clip(wanted, QUIETEST, LOUDEST).astype(np.uint8)
        clipped += int(np.count_nonzero(loudness != wanted))
        stops = list(accumulate(len(tracks[index].notes) for index in places))
        for index, part in zip(places, np.split(loudness, stops[:-1]), strict=True):
            tracks[index] = replace(tracks[index], notes=replace(tracks[index].notes, velocity=part))
    repairs = {"velocity_clipped": clipped} if clipped else {}
    return Preprocessed(replace(score, tracks=tuple(tracks)), repairs)


def _levelled(
    onset: Ints, loudness: Floats, ticks_per_beat: int, *, mean: float, spread: float,
    bend: Callable[[Floats], Floats], beats: float,
) -> Floats:  # fmt: skip
    window = beats * ticks_per_beat
    touch = loudness - phrase_level(onset, loudness, window)
    change = _standard(bend(_standard(touch) / REACH)) * touch.std() - touch
    shaped = loudness + change - phrase_level(onset, change, window)  # a bent touch must not move its phrase
    deviation = shaped.std()
    gain = min(spread / deviation, MOST_GAIN) if deviation else 0.0
    levelled: Floats = mean + (shaped - shaped.mean()) * gain
    return levelled


def phrase_level(onset: Ints, loudness: Floats, window: float) -> Floats:
    """Mean loudness of the notes that begin within half a `window` (ticks) of each note."""
    order = np.argsort(onset, kind="stable")
    at = onset[order]
    total = np.append(0.0, np.cumsum(loudness[order]))
    first = np.searchsorted(at, onset - window / 2, side="left")
    stop = np.searchsorted(at, onset + window / 2, side="right")
    level: Floats = (total[stop] - total[first]) / (stop - first)
    return level


def _standard(values: Floats) -> Floats:
    """Mean 0 and standard deviation 1, or all 0 where nothing varies."""
    centred = values - values.mean()
    deviation = centred.std()
    return centred / deviation if deviation > 10**-NOISE_DIGITS else np.zeros_like(values)


def _linear(touch: Floats) -> Floats:
    return touch


def _soft(touch: Floats) -> Floats:
    return _unit(touch) ** (1 / BEND)


def _hard(touch: Floats) -> Floats:
    return _unit(touch) ** BEND


def _s_curve(touch: Floats) -> Floats:
    return np.tanh(BEND * touch)


def _histogram(touch: Floats) -> Floats:
    _, inverse, counts = np.unique(touch.round(NOISE_DIGITS), return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - counts / 2) / len(touch)
    bell = np.array([NormalDist().inv_cdf(share) for share in rank.tolist()])
    return bell[inverse]


def _unit(touch: Floats) -> Floats:
    return np.clip((touch + 1) / 2, 0, 1)


_CURVES: dict[Curve, Callable[[Floats], Floats]] = {
    "linear": _linear, "soft": _soft, "hard": _hard, "s_curve": _s_curve, "histogram": _histogram,
}  # fmt: skip

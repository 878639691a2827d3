"""Pieces that are left out: each kind passes a score on as it is, or rejects it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le

from aurl.midi.clock import bar_ticks, seconds_at
from aurl.midi.reasons import Rejected, RejectReason
from aurl.midi.score import Score
from aurl.preprocess.registry import PREPROCESS, Preprocessed, PreprocessStep

Least = Annotated[float, Ge(0)]
Most = Annotated[float, Ge(0)] | None
LOWEST, HIGHEST = 0, 127


@dataclass(frozen=True, slots=True)
class _Bounded:
    """Passes scores whose measure is within bounds.

    Args:
        measure: what is looked at.
        unit: what it counts, as "notes per beat".
        least: smallest value that passes.
        most: largest value that passes, None without limit.
    """

    measure: Callable[[Score], float]
    unit: str
    least: float
    most: float | None

    def __call__(self, score: Score) -> Preprocessed:
        value = self.measure(score)
        if value < self.least:
            raise Rejected(RejectReason.FILTERED, f"{value:.3g} {self.unit}, fewer than {self.least:g}")
        if self.most is not None and value > self.most:
            raise Rejected(RejectReason.FILTERED, f"{value:.3g} {self.unit}, more than {self.most:g}")
        return Preprocessed(score)


@PREPROCESS.register("density")
def density(*, least: Least = 0.0, most: Most = None, per: Literal["beat", "second"] = "beat") -> PreprocessStep:
    """Reject pieces with too few or too many notes for their length.

    The length is from the first onset to the last end, so silence around the music does not count.

    Args:
        least: notes per beat, or second.
        most: the same; without it there is no limit.
        per: "beat" or "second".
    """
    return _filter(_Bounded({"beat": _per_beat, "second": _per_second}[per], f"notes per {per}", least, most))


@PREPROCESS.register("length")
def length(
    *, least: Least = 0.0, most: Most = None, unit: Literal["seconds", "beats", "bars", "notes"] = "seconds"
) -> PreprocessStep:
    """Reject pieces that are too short or too long.

    Seconds, beats and bars are counted to the end of the last note.

    Args:
        least: of `unit`.
        most: the same; without it there is no limit.
        unit: what is counted.
    """
    measures = {"seconds": _seconds, "beats": _beats, "bars": _bars, "notes": _notes}
    return _filter(_Bounded(measures[unit], unit, least, most))


@PREPROCESS.register("tracks")
def tracks(*, least: Annotated[int, Ge(0)] = 0, most: Annotated[int, Ge(0)] | None = None) -> PreprocessStep:
    """Reject pieces with too few or too many tracks that play; a kit is one.

    Args:
        least: tracks with notes.
        most: the same; without it there is no limit.
    """
    return _filter(_Bounded(_playing, "tracks with notes", least, most))


@PREPROCESS.register("pitch_range")
def pitch_range(
    *,
    lowest: Annotated[int, Ge(LOWEST), Le(HIGHEST)] = LOWEST,
    highest: Annotated[int, Ge(LOWEST), Le(HIGHEST)] = HIGHEST,
    tolerance: Annotated[float, Ge(0), Le(1)] = 0.0,
) -> PreprocessStep:
    """Reject pieces with notes outside a range of pitches; drums do not count.

    Args:
        lowest: MIDI pitch; 21 is the lowest key of a piano.
        highest: MIDI pitch; 108 is the highest key of a piano.
        tolerance: share of the notes that may be outside.
    """
    return _filter(_Ranged(lowest, highest, tolerance))


@dataclass(frozen=True, slots=True)
class _Ranged:
    """Passes scores of which at most a share of the notes is outside a range."""

    lowest: int
    highest: int
    tolerance: float

    def __call__(self, score: Score) -> Preprocessed:
        pitches = [track.notes.pitch for track in score.tracks if not track.is_drum]
        pitch = np.concatenate(pitches) if pitches else np.empty(0, np.uint8)
        outside = int(np.count_nonzero((pitch < self.lowest) | (pitch > self.highest)))
        if outside > self.tolerance * len(pitch):
            share = f"{outside / len(pitch):.1%} of the notes outside {self.lowest}–{self.highest}"
            raise Rejected(RejectReason.FILTERED, f"{share}, more than {self.tolerance:.1%}")
        return Preprocessed(score)


def _filter(keeps: Callable[[Score], Preprocessed]) -> PreprocessStep:
    return PreprocessStep(keeps, selects=True)


def _onsets(score: Score) -> list[int]:
    return [int(track.notes.onset[0]) for track in score.tracks if len(track.notes)]


def _per_beat(score: Score) -> float:
    start = min(_onsets(score), default=0)
    return _rate(score, (score.end_tick - start) / score.ticks_per_beat)


def _per_second(score: Score) -> float:
    start, end = seconds_at(score, [min(_onsets(score), default=0), score.end_tick]).tolist()
    return _rate(score, end - start)


def _rate(score: Score, span: float) -> float:
    """Notes in a span; those that take no time are infinitely dense."""
    notes = score.note_count
    return notes / span if span > 0 else (np.inf if notes else 0.0)


def _seconds(score: Score) -> float:
    return float(seconds_at(score, [score.end_tick])[0])


def _beats(score: Score) -> float:
    return score.end_tick / score.ticks_per_beat


def _bars(score: Score) -> float:
    return len(bar_ticks(score, score.end_tick - 1)) if score.end_tick else 0


def _notes(score: Score) -> float:
    return score.note_count


def _playing(score: Score) -> float:
    return len(_onsets(score))

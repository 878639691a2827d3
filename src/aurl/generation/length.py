"""How long new music is to become: seconds or bars → steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aurl.errors import UsageError
from aurl.generation.engine import LengthRule
from aurl.midi.clock import DEFAULT_METER
from aurl.midi.score import DEFAULT_TEMPO, Ints, Tempos, TimeSignatures
from aurl.tokens.codec import Codec
from aurl.tokens.header import read_header
from aurl.tokens.timing import STEP_MICROSECONDS
from aurl.tokens.vocabulary import STEPS_PER_BEAT, TimeBase

SECOND_MICROSECONDS = 1_000_000
MINUTE_SECONDS = 60


@dataclass(frozen=True)
class Clock:
    """Tempo, meter and place in the bar where new music begins.

    Args:
        microseconds_per_beat: of a quarter note.
        meter: (numerator, denominator).
        into_bar: how many beats of a bar have passed already.
    """

    microseconds_per_beat: int = DEFAULT_TEMPO
    meter: tuple[int, int] = DEFAULT_METER
    into_bar: float = 0.0

    def steps(self, beats: float, time_base: TimeBase) -> int:
        """Steps of so many quarter notes, at least 1."""
        per_beat = STEPS_PER_BEAT if time_base == "beats" else self.microseconds_per_beat / STEP_MICROSECONDS
        return max(1, round(beats * per_beat))

    def beats_of_seconds(self, seconds: float) -> float:
        """Quarter notes in so many seconds."""
        return seconds * SECOND_MICROSECONDS / self.microseconds_per_beat

    def beats_of_bars(self, bars: float) -> float:
        """Quarter notes until so many bars are full; a bar that has begun already is finished first."""
        bar = 4 * self.meter[0] / self.meter[1]
        return bars * bar + (-self.into_bar) % bar


def clock_at(tempos: Tempos, time_signatures: TimeSignatures, *, tick: int = 0, ticks_per_beat: int = 1) -> Clock:
    """The clock at a tick of a piece with these maps; 120 BPM and 4/4 where they are silent."""
    tempo = _in_force(tempos.tick, tick)
    meter = _in_force(time_signatures.tick, tick)
    since = 0 if meter is None else int(time_signatures.tick[meter])
    numerator, denominator = (
        DEFAULT_METER
        if meter is None
        else (int(time_signatures.numerator[meter]), int(time_signatures.denominator[meter]))
    )
    bar = 4 * numerator / denominator
    return Clock(
        DEFAULT_TEMPO if tempo is None else max(int(tempos.microseconds_per_beat[tempo]), 1),
        (numerator, denominator),
        (tick - since) / ticks_per_beat % bar,
    )


def length_rule(
    codec: Codec,
    *,
    seconds: float | None = None,
    bars: int | None = None,
    clock: Clock | None = None,
    tempo: float | None = None,
) -> LengthRule:
    """The engine's rule for a length in seconds or, where given, in bars.

    Args:
        codec: of the ids.
        seconds: > 0.
        bars: ≥ 1.
        clock: where a prompt ends; without it each piece's own header is asked.
        tempo: in beats per minute, what finished pieces are set to; None: what their clock says.

    Raises:
        UsageError: a length out of range, or bars where nothing says how long a bar is.
    """
    if bars is not None and bars < 1:
        raise UsageError(f"{bars} bars are no length", hint="give 1 or more")
    if seconds is not None and not 0 < seconds < math.inf:
        raise UsageError(f"{seconds} seconds are no length", hint="give more than 0")
    if bars is not None and clock is None:
        _check_bars(codec)

    def steps(ids: Sequence[int]) -> int | None:
        now = clock or header_clock(ids)
        if bars is not None:
            return now.steps(now.beats_of_bars(bars), codec.time_base)
        if seconds is None:
            return None
        beats = now.beats_of_seconds(seconds) if tempo is None else seconds * tempo / MINUTE_SECONDS
        return now.steps(beats, codec.time_base)

    return steps


def _check_bars(codec: Codec) -> None:
    missing = {"tempo", "time_signature"} - set(codec.header)
    if codec.time_base == "seconds" and missing:
        names = " and ".join(sorted(name.replace("_", " ") for name in missing))
        raise UsageError(
            f"this model counts in seconds and its pieces tell no {names}, so nobody knows how long a bar is",
            hint="give the length with --seconds, or a --prompt whose tempo and meter are known",
        )


def header_clock(ids: Sequence[int]) -> Clock:
    """Tempo and meter as a header tells them; 120 BPM and 4/4 where it is silent."""
    facts = read_header(np.asarray(ids, np.int64))
    return clock_at(facts.tempos, facts.time_signatures)


def _in_force(ticks: Ints, tick: int) -> int | None:
    at = int(np.searchsorted(ticks, tick, side="right")) - 1
    return None if at < 0 else at

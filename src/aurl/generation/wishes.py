"""What new music is asked to be, as the ids that a model has learned to be told."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

import numpy as np

from aurl.controls.facts import SCALES
from aurl.errors import UsageError
from aurl.midi.score import Score, Tempos
from aurl.studies.pitch_classes import as_heard
from aurl.tokens.codec import Codec
from aurl.tokens.header import MICROSECONDS_PER_MINUTE, tempo_bin
from aurl.tokens.vocabulary import (
    MAX_TEMPO_BPM,
    MIN_TEMPO_BPM,
    TIME_SIGNATURES,
    Fact,
    Header,
)

MEASURED: tuple[Fact, ...] = tuple(SCALES)
"""Facts that are numbers, of which any can be asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What pieces should be like; what is not asked for the model decides itself.

    Args:
        tempo: beats per minute; pieces get just this one, and the model is told the nearest that it knows.
        meter: (numerator, denominator).
        key: KEY value, see `aurl.studies.names.parse_key`.
        chords: CHORD values, which come one after the other, and again from the first.
        chord_bars: how many bars each of them lasts.
        instruments: PROGRAM value of each part, 128 for drums.
        facts: density in notes per beat, polyphony in notes at once, register as a mean pitch, dynamics as a mean level
            from 0 to 5.

    Raises:
        UsageError: a number out of range.
    """

    tempo: float | None = None
    meter: tuple[int, int] | None = None
    key: int | None = None
    chords: tuple[int, ...] = ()
    chord_bars: float = 1.0
    instruments: tuple[int, ...] = ()
    facts: Mapping[Fact, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.tempo is not None and not MIN_TEMPO_BPM <= self.tempo <= MAX_TEMPO_BPM:
            raise UsageError(f"--tempo {self.tempo:g} is no tempo", hint="give 30 to 300 beats per minute")
        if self.meter is not None and self.meter not in TIME_SIGNATURES:
            raise UsageError(f"--meter {self.meter[0]}/{self.meter[1]} is not known", hint="such as 4/4, 3/4 or 6/8")
        if not self.chord_bars > 0:
            raise UsageError(
                f"--chord-bars {self.chord_bars:g} is no length", hint="give more than 0, such as 0.5 or 2"
            )

    def __bool__(self) -> bool:
        told = (self.tempo, self.meter, self.key)
        return bool(any(one is not None for one in told) or self.chords or self.instruments or self.facts)

    def header(self, codec: Codec) -> dict[Header | Fact, int]:
        """Group → the value that a header of `codec` is to tell, of what it can tell."""
        values: dict[Header | Fact, int] = {}
        if self.tempo is not None:
            values["tempo"] = tempo_bin(MICROSECONDS_PER_MINUTE / self.tempo)
        if self.meter is not None:
            values["time_signature"] = TIME_SIGNATURES.index(self.meter)
        if self.key is not None:
            # What is measured is written with the fewest accidentals.
            values["key"] = as_heard(self.key) if "key" in codec.facts else self.key
        values |= {name: SCALES[name].value(number) for name, number in self.facts.items()}
        return {name: value for name, value in values.items() if name in (*codec.header, *codec.facts)}

    def numbers(self) -> dict[Fact, float]:
        """What pieces can be measured by, and led back to."""
        return {**self.facts, **({} if self.key is None else {"key": float(self.key)})}

    def check(self, codec: Codec, *, is_steered: bool) -> None:
        """Refuse what nothing would come of; a tempo can always be written into the file.

        Raises:
            UsageError: the model has not learned to be told that.
        """
        asked: set[Header | Fact] = set() if is_steered else set(self.numbers())
        if self.meter is not None:
            asked.add("time_signature")
        for name in sorted(asked - {*codec.header, *codec.facts}):
            raise UsageError(f"this model was never told the {name.replace('_', ' ')}", hint=_remedy(name))
        if self.chords and not codec.chords:
            raise UsageError(
                "this model was never told chords", hint="train one that is: aurl train --profile controls"
            )
        if self.instruments and not codec.parts:
            raise UsageError(
                "this model knows no instruments: its data set has one part",
                hint="prepare another one: aurl prepare … --set tokens.parts=true",
            )

    def at_tempo(self, score: Score) -> Score:
        """A finished piece at just the tempo that was asked, if any, all along."""
        if self.tempo is None:
            return score
        microseconds = round(MICROSECONDS_PER_MINUTE / self.tempo)
        return replace(score, tempos=Tempos(np.array([0]), np.array([microseconds])))


def _remedy(name: Header | Fact) -> str:
    """What to do about a model that is not told something."""
    if name in get_args(Fact):
        return f"train one that is: aurl train --set 'controls.facts=[\"{name}\"]'"
    return f"prepare a data set that tells it, with {name} in tokens.header, and train on that"

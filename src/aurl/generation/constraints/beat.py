"""How long a beat is in the steps of a growing piece."""

from fractions import Fraction

from aurl.generation.constraints.row import NONE, Row
from aurl.midi.score import DEFAULT_TEMPO
from aurl.tokens.header import MICROSECONDS_PER_MINUTE, tempo_bpm
from aurl.tokens.timing import STEP_MICROSECONDS
from aurl.tokens.vocabulary import STEPS_PER_BEAT, TimeBase


def beat_steps(row: Row, time_base: TimeBase) -> Fraction:
    """Steps of a quarter note; in time base "seconds" by the tempo that the header tells, 120 BPM without."""
    if time_base == "beats":
        return Fraction(STEPS_PER_BEAT)
    microseconds = DEFAULT_TEMPO if row.tempo == NONE else round(MICROSECONDS_PER_MINUTE / tempo_bpm(row.tempo))
    return Fraction(microseconds, STEP_MICROSECONDS)

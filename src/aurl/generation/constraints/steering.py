"""Numbers that were asked for, kept to while a piece grows: where it strays, what leads back gets likelier.

The model is told what was asked (`ToldHeader`), and what it was told of is a window. This looks at what has become of
it so far, and tilts the distribution of the next id by a little more, the further it is off: exponential tilting, which
changes an expectation by as little as possible (Kullback–Leibler divergence) of everything else.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from aurl.generation.constraints.kinds import Rule
from aurl.generation.constraints.row import NONE, Bias, Row
from aurl.generation.constraints.tally import Tally
from aurl.studies.key import estimate_key, key_fits
from aurl.studies.pitch_classes import OCTAVE, as_heard
from aurl.tokens.rules import Stage
from aurl.tokens.vocabulary import (
    MAX_SHIFT_STEPS,
    NOTE_OFF,
    NOTE_ON,
    STEPS_PER_BEAT,
    TIME_SHIFT,
    VELOCITY,
    VELOCITY_BINS,
    Fact,
)

TRUST = 8
"""Notes' worth of the numbers that were asked which are counted as if they had been played: the first notes say little.
"""
# Nats per unit of what is missing, and the most of it; chosen on 64 pieces by a model of pop songs.
REGISTER_NATS, REGISTER_MOST = 0.06, 0.25
DYNAMICS_NATS, DYNAMICS_MOST = 3.0, 4.0
DENSITY_NATS, DENSITY_MOST = 8.0, 2.5
POLYPHONY_NATS, NOW_NATS, POLYPHONY_MOST = 20.0, 1.0, 8.0
KEY_NATS, TONAL_NATS, STRAY_KEY_NATS = 2.0, 1.5, 10.0
"""By which a pitch outside the key gets unlikelier; of how well one inside fits; of how much better it fits than into
the key that is heard."""
OUTSIDE = -0.27
"""`key_fits` of a pitch class below which it is no note of the key: a minor key keeps both its sevenths."""
OLD_NATS = 3.0
"""Share of a note's surplus by which its end gets likelier for each time that it lasts twice as long as a beat."""
USUAL_SHIFT = 8
"""Steps: a semiquaver; longer waiting makes music sparser, shorter denser."""
FARTHEST = 24
"""Semitones from where they are wanted beyond which pitches get no unlikelier."""


class Steering(Rule):
    """Tilts towards facts.

    Args:
        facts: fact → number; of a key its KEY value.
        strength: factor of all tilts; 0: none.
    """

    def __init__(self, facts: Mapping[Fact, float], *, strength: float = 1.0) -> None:
        self._facts, self._strength = facts, strength
        self._key = as_heard(int(facts["key"])) if "key" in facts else None
        self._fits = None if self._key is None else key_fits(self._key)
        self._pitch = np.arange(NOTE_ON.size, dtype=np.float32)
        self._levels = np.arange(VELOCITY_BINS, dtype=np.float32)
        shifts = np.arange(1, MAX_SHIFT_STEPS + 1, dtype=np.float32)
        self._shifts = np.log2(shifts / USUAL_SHIFT)

    def restrict(self, row: Row, bias: Bias) -> None:
        """What leads back gets likelier."""
        if row.stage < Stage.BODY:
            return
        if not row.is_drum(row.part):  # whose pitches are none
            self._tilt_pitches(row.tally, bias)
        self._tilt_levels(row, bias)
        self._tilt_times(row, bias)

    def _tilt_pitches(self, tally: Tally, bias: Bias) -> None:
        ons = bias[NOTE_ON.start : NOTE_ON.stop]
        wanted = self._facts.get("register")
        if wanted is not None:
            mean = (tally.pitches + TRUST * wanted) / (tally.pitched + TRUST)
            tilt = _clipped(REGISTER_NATS * (wanted - mean), REGISTER_MOST)
            ons += self._strength * tilt * (self._pitch - wanted).clip(-FARTHEST, FARTHEST)
        if self._fits is not None:
            ons += self._strength * self._key_tilt(tally, self._fits)

    def _key_tilt(self, tally: Tally, fits: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(128,)`: less for pitches outside the key; and where another key is heard, more for what tells them apart.

        As long as it is the one that is heard, its notes are hardly preferred to each other: that would leave little
        but tonic and fifth.
        """
        tilt = np.where(fits < OUTSIDE, np.float32(-KEY_NATS), TONAL_NATS * fits)
        if tally.pitched >= TRUST:
            heard = estimate_key(np.arange(OCTAVE), np.array(tally.classes))
            if heard is not None and heard.value != self._key:
                tilt = tilt + STRAY_KEY_NATS * (fits - key_fits(heard.value))
        pitches: NDArray[np.float32] = tilt[self._pitch.astype(np.int64) % OCTAVE]
        return pitches

    def _tilt_levels(self, row: Row, bias: Bias) -> None:
        """Levels on the way back get likelier than to stay at the running one, which needs no id."""
        wanted, tally = self._facts.get("dynamics"), row.tally
        if wanted is None:
            return
        mean = (tally.levels + TRUST * wanted) / (tally.notes + TRUST)
        tilt = _clipped(DYNAMICS_NATS * (wanted - mean), DYNAMICS_MOST)
        stays = wanted if row.velocity == NONE else row.velocity
        bias[VELOCITY.start : VELOCITY.stop] += self._strength * tilt * (self._levels - stays)

    def _tilt_times(self, row: Row, bias: Bias) -> None:
        dense, thick = self._strength * self._denser(row), self._strength * self._thicker(row)
        # A chord is where a note more is polyphony as much as density.
        strike = dense + (thick / 2 if row.stage == Stage.STRUCK else 0.0)
        bias[NOTE_ON.start : NOTE_ON.stop] += strike
        bias[VELOCITY.start : VELOCITY.stop] += strike
        bias[TIME_SHIFT.start : TIME_SHIFT.stop] -= dense * self._shifts
        bias[NOTE_OFF.start : NOTE_OFF.stop] -= thick
        if thick < 0:
            self._end_old(row, -thick, bias)

    def _end_old(self, row: Row, surplus: float, bias: Bias) -> None:
        """Where too many notes sound, those end first that have lasted longest: a model hardly thinks of them."""
        for lane, (_, step) in row.begun.items():
            part, pitch = divmod(lane, NOTE_ON.size)
            beats = (row.step - step) / STEPS_PER_BEAT
            if part == row.part and beats > 1:
                bias[NOTE_OFF.start + pitch] += OLD_NATS * surplus * math.log2(beats)

    def _denser(self, row: Row) -> float:
        """Nats that notes are too few in a beat, below 0: too many."""
        wanted = self._facts.get("density")
        if wanted is None:
            return 0.0
        beats = (row.step - row.begin_step) / STEPS_PER_BEAT
        played = (row.tally.notes + TRUST) / (beats + TRUST / wanted)
        return _clipped(DENSITY_NATS * math.log(wanted / played), DENSITY_MOST)

    def _thicker(self, row: Row) -> float:
        """Nats that notes are too few at once: so far, and just now."""
        wanted = self._facts.get("polyphony")
        if wanted is None:
            return 0.0
        tally, trusted = row.tally, TRUST * USUAL_SHIFT
        played = (tally.note_steps + trusted * wanted) / (tally.active_steps + trusted)
        missing = POLYPHONY_NATS * math.log(wanted / max(played, 1.0))
        return _clipped(missing + NOW_NATS * math.log(wanted / max(len(row.begun), 1)), POLYPHONY_MOST)


def _clipped(tilt: float, most: float) -> float:
    return min(max(tilt, -most), most)

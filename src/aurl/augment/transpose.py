"""All pitches up or down."""

from functools import partial
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from aurl.augment.draft import Draft
from aurl.augment.notes import PITCH_MASK, Ids, running
from aurl.augment.registry import AUGMENT, Augmentation, FromEpoch, Probability, RampEpochs, Schedule, interval
from aurl.studies.pitch_classes import KEYS, OCTAVE, SEMITONES_OF_FIFTH, fewest_accidentals
from aurl.tokens.decode import PITCHES
from aurl.tokens.encode import PART_IN_LANE
from aurl.tokens.vocabulary import KEY, NOTE_OFF, PART

Semitones = Annotated[int, Ge(1 - PITCHES), Le(PITCHES - 1)]


@AUGMENT.register("transpose")
def transpose(
    *,
    semitones: tuple[Semitones, Semitones] = (-OCTAVE, OCTAVE),
    probability: Probability = 1.0,
    from_epoch: FromEpoch = 0,
    ramp_epochs: RampEpochs = 1,
) -> Augmentation:
    """Move all pitches but those of drums, and the key with them.

    Only as far as every note of the passage stays within MIDI's range.

    Args:
        semitones: furthest down and up; what fits between them is equally likely.
        probability: that a passage is transposed.
        from_epoch: first epoch in which passages are.
        ramp_epochs: epochs over which the probability rises.
    """
    low, high = interval("semitones", semitones)
    schedule = Schedule(probability, from_epoch, ramp_epochs)
    return Augmentation(partial(_transpose, low=int(low), high=int(high)), schedule)


def _transpose(draft: Draft, rng: np.random.Generator, *, low: int, high: int) -> None:
    column, pitched = _pitches(draft)
    pitch = column[pitched] & PITCH_MASK
    if len(pitch):
        low, high = max(low, -int(pitch.min())), min(high, PITCHES - 1 - int(pitch.max()))
    semitones = low + int((high - low + 1) * rng.random())
    if low > high or not semitones:
        return
    # In the column's own type, where a step down is a large number that wraps around.
    np.add(column, np.array(semitones).astype(column.dtype), out=column, where=pitched)
    key = draft.told(KEY)
    draft.header[key] = _MOVED_KEY[semitones % OCTAVE][draft.header[key] - KEY.start]


def _pitches(draft: Draft) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Numbers whose lowest seven bits are pitches, and which of them are pitches of pitched parts."""
    is_drum = draft.is_drum
    body = draft.body
    if body is None:
        lane = draft.notes.lane
        return lane, ~is_drum[lane >> PART_IN_LANE]
    pitched = body < NOTE_OFF.stop
    if is_drum.any():
        pitched &= ~is_drum[running(body, PART, max(draft.part, 0))]
    return body, pitched


def _moved_keys() -> Ids:
    """`(12, 30)`: KEY id of each KEY value, so many semitones higher."""
    fifths, minor = np.array(KEYS).T
    semitones = np.arange(OCTAVE)[:, None]
    moved = fewest_accidentals(fifths + SEMITONES_OF_FIFTH * semitones)
    moved[0] = fifths
    ids: Ids = np.array(KEY.start + len(KEYS) // 2 * minor + moved - fifths.min(), np.uint16)
    return ids


_MOVED_KEY = _moved_keys()

"""Small inaccuracies, as players have them."""

from functools import partial
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from aurl.augment.draft import Draft
from aurl.augment.notes import PassageNotes
from aurl.augment.registry import AUGMENT, Augmentation, FromEpoch, Probability, RampEpochs, Schedule
from aurl.midi.score import Ints
from aurl.tokens.encode import STEP_MASK
from aurl.tokens.timing import STEP_BITS
from aurl.tokens.vocabulary import VELOCITY_BINS


@AUGMENT.register("humanise")
def humanise(
    *,
    steps: Annotated[int, Ge(0), Le(32)] = 1,
    share: Annotated[float, Ge(0), Le(1)] = 0.1,
    probability: Probability = 1.0,
    from_epoch: FromEpoch = 0,
    ramp_epochs: RampEpochs = 1,
) -> Augmentation:
    """Let notes begin a little early or late, and some a level louder or softer, each for itself.

    Ends stay where they are. Notes of one pitch and part keep their order and never overlap; a note that begins and
    ends on one step still does.

    Args:
        steps: furthest that a note begins early or late; all distances are equally likely.
        share: of the notes that change their level.
        probability: that a passage is changed.
        from_epoch: first epoch in which passages are.
        ramp_epochs: epochs over which the probability rises.
    """
    change = partial(_humanise, steps=steps, share=share)
    return Augmentation(change, Schedule(probability, from_epoch, ramp_epochs))


def _humanise(draft: Draft, rng: np.random.Generator, *, steps: int, share: float) -> None:
    notes = draft.notes
    for_time, for_level = rng.random((2, len(notes.onset)))
    if steps:
        early_or_late = (for_time * (2 * steps + 1)).astype(np.int64) - steps
        _move_onsets(notes, np.where(notes.begins, notes.onset + early_or_late, notes.onset), draft.start_step)
    softer, changed = for_level < share / 2, for_level < share
    level = notes.velocity + changed - 2 * softer
    notes.velocity = level.clip(0, VELOCITY_BINS - 1)


def _move_onsets(notes: PassageNotes, wanted: Ints, start_step: int) -> None:
    """Onsets as near as can be to where they are wanted, and ends that fit them."""
    if not len(wanted):
        return
    # With the lane in the high bits, the latest onset so far is one of the same lane.
    onset = np.maximum.accumulate((notes.lane << STEP_BITS) + wanted.clip(start_step, STEP_MASK)) & STEP_MASK
    offset = np.where(notes.offset == notes.onset, onset, np.maximum(notes.offset, onset + 1))
    follows = notes.lane[1:] == notes.lane[:-1]
    offset[:-1][follows] = np.minimum(offset[:-1], onset[1:])[follows]
    notes.onset, notes.offset = onset, offset

"""Other instruments of the same kind."""

from functools import partial
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from aurl.augment.draft import Draft
from aurl.augment.registry import AUGMENT, Augmentation, FromEpoch, Probability, RampEpochs, Schedule
from aurl.tokens.vocabulary import DRUM_PROGRAM, PROGRAM

FAMILY = 8
"""General MIDI numbers instruments in sixteen families of eight: pianos, mallets, organs, guitars, basses, …"""


@AUGMENT.register("instruments")
def instruments(
    *,
    share: Annotated[float, Ge(0), Le(1)] = 0.5,
    probability: Probability = 1.0,
    from_epoch: FromEpoch = 0,
    ramp_epochs: RampEpochs = 1,
) -> Augmentation:
    """Give parts another instrument of the same General MIDI family; drums stay drums.

    Args:
        share: how likely each part gets another one, in a passage that is changed.
        probability: that a passage is.
        from_epoch: first epoch in which passages are.
        ramp_epochs: epochs over which the probability rises.
    """
    return Augmentation(partial(_substitute, share=share), Schedule(probability, from_epoch, ramp_epochs))


def _substitute(draft: Draft, rng: np.random.Generator, *, share: float) -> None:
    told = draft.told(PROGRAM)
    number = rng.random(len(told))
    program = draft.header[told] - PROGRAM.start
    changed = ((number < share) & (program < DRUM_PROGRAM)).nonzero()[0]
    if not len(changed):
        return
    # Of the numbers below `share`, each seventh means another of the seven neighbours.
    further = 1 + (number[changed] / share * (FAMILY - 1)).astype(np.int64)
    old = program[changed]
    draft.header[told[changed]] = PROGRAM.start + old // FAMILY * FAMILY + (old + further) % FAMILY

"""Louder, softer, with more contrast or less."""

from functools import partial
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from aurl.augment.draft import Draft
from aurl.augment.notes import Ids
from aurl.augment.registry import AUGMENT, Augmentation, FromEpoch, Probability, RampEpochs, Schedule, drawn, interval
from aurl.midi.score import Ints
from aurl.tokens.vocabulary import VELOCITY, VELOCITY_BINS

Levels = Annotated[float, Ge(-VELOCITY_BINS), Le(VELOCITY_BINS)]
Ratio = Annotated[float, Ge(0.1), Le(10.0)]


@AUGMENT.register("velocity")
def velocity(
    *,
    shift: tuple[Levels, Levels] = (-1.0, 1.0),
    scale: tuple[Ratio, Ratio] = (0.8, 1.2),
    curve: tuple[Ratio, Ratio] = (0.8, 1.25),
    probability: Probability = 1.0,
    from_epoch: FromEpoch = 0,
    ramp_epochs: RampEpochs = 1,
) -> Augmentation:
    """Map the six dynamic levels by one curve: velocity^curve · scale + shift.

    Velocities count from 0 to 1, each level as its middle; the result is clipped to the six levels. A louder note never
    becomes softer than another, but two levels may become one.

    Args:
        shift: least and most, in levels.
        scale: least and most.
        curve: least and most exponent; above 1 soft notes become softer, below 1 louder.
        probability: that the levels of a passage are mapped.
        from_epoch: first epoch in which they are.
        ramp_epochs: epochs over which the probability rises.
    """
    bounds = interval("shift", shift), interval("scale", scale), interval("curve", curve)
    return Augmentation(partial(_map_levels, bounds=bounds), Schedule(probability, from_epoch, ramp_epochs))


def _map_levels(draft: Draft, rng: np.random.Generator, *, bounds: tuple[tuple[float, float], ...]) -> None:
    shift, scale, curve = (drawn(rng, each) for each in bounds)
    middle = (np.arange(VELOCITY_BINS) + 0.5) / VELOCITY_BINS
    mapped = np.floor(scale * middle**curve * VELOCITY_BINS + shift).astype(np.int64).clip(0, VELOCITY_BINS - 1)
    if (mapped != np.arange(VELOCITY_BINS)).any():
        _apply(draft, mapped)


def _apply(draft: Draft, mapped: Ints) -> None:
    before = draft.velocity
    if draft.body is None or not _looked_up(draft.body, before, mapped):
        notes = draft.notes
        notes.velocity = mapped[notes.velocity]
    if before >= 0:
        draft.velocity = int(mapped[before])


def _looked_up(body: Ids, before: int, mapped: Ints) -> bool:
    """Map the VELOCITYs of `body`, unless levels become one: then notes change their order and VELOCITYs go."""
    told = (body - np.uint16(VELOCITY.start) < VELOCITY.size).nonzero()[0]
    levels = body[told] - VELOCITY.start
    used = np.zeros(VELOCITY_BINS, np.bool_)
    used[levels] = True
    used[max(before, 0)] |= before >= 0
    apart = mapped[used]
    if (apart[1:] == apart[:-1]).any():
        return False
    body[told] = mapped[levels] + VELOCITY.start
    return True

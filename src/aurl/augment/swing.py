"""Straight rhythm made to swing."""

from functools import partial
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le

from aurl.augment.draft import Draft
from aurl.augment.registry import AUGMENT, Augmentation, FromEpoch, Probability, RampEpochs, Schedule, drawn, interval
from aurl.midi.score import Ints
from aurl.tokens.positions import STEPS_PER_WHOLE_NOTE
from aurl.tokens.vocabulary import TIME_SIGNATURE, TIME_SIGNATURES

Ratio = Annotated[float, Ge(1), Le(4)]
Grid = Literal["1/8", "1/16"]
PAIR_STEPS: dict[Grid, int] = {"1/8": STEPS_PER_WHOLE_NOTE // 4, "1/16": STEPS_PER_WHOLE_NOTE // 8}


@AUGMENT.register("swing")
def swing(
    *,
    ratio: tuple[Ratio, Ratio] = (1.0, 2.0),
    grid: Grid = "1/8",
    probability: Probability = 1.0,
    from_epoch: FromEpoch = 0,
    ramp_epochs: RampEpochs = 1,
) -> Augmentation:
    """Lengthen the first of each two eighths and shorten the second; what lies between them moves along.

    Only in time base "beats", and only where the pair makes up whole beats of the meter: eighths do not swing in 6/8.

    Args:
        ratio: least and most that the first lasts, the second being 1: 1 is straight, 2 a triplet, 3 dotted.
        grid: which notes are unequal.
        probability: that a passage swings.
        from_epoch: first epoch in which passages do.
        ramp_epochs: epochs over which the probability rises.
    """
    if grid not in PAIR_STEPS:
        raise ValueError(f"unknown grid {grid!r}; known: {', '.join(PAIR_STEPS)}")
    change = partial(_swing, bounds=interval("ratio", ratio), pair=PAIR_STEPS[grid])
    return Augmentation(change, Schedule(probability, from_epoch, ramp_epochs), time_bases=("beats",))


def _swing(draft: Draft, rng: np.random.Generator, *, bounds: tuple[float, float], pair: int) -> None:
    ratio = drawn(rng, bounds)
    for meter in draft.header[draft.told(TIME_SIGNATURE)] - TIME_SIGNATURE.start:
        _, denominator = TIME_SIGNATURES[meter]
        if STEPS_PER_WHOLE_NOTE // denominator % pair:
            return
    middle = pair * ratio / (ratio + 1)
    place = np.rint(np.interp(np.arange(pair), [0, pair / 2, pair], [0, middle, pair])).astype(np.int64)
    draft.warp(partial(_delayed, place=place))


def _delayed(steps: Ints, *, place: Ints) -> Ints:
    """`place` says where each step of a pair goes."""
    phase = steps % len(place)
    return steps - phase + place[phase]

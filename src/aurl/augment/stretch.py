"""Slower and faster."""

from functools import partial
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from aurl.augment.draft import Draft
from aurl.augment.registry import AUGMENT, Augmentation, FromEpoch, Probability, RampEpochs, Schedule, drawn, interval
from aurl.midi.score import Ints
from aurl.tokens.header import MICROSECONDS_PER_MINUTE, tempo_bin, tempo_bpm
from aurl.tokens.vocabulary import TEMPO

Factor = Annotated[float, Ge(0.1), Le(10.0)]


@AUGMENT.register("stretch")
def stretch(
    *,
    factor: tuple[Factor, Factor] = (0.8, 1.2),
    probability: Probability = 1.0,
    from_epoch: FromEpoch = 0,
    ramp_epochs: RampEpochs = 1,
) -> Augmentation:
    """Make all times longer or shorter by one factor.

    In time base "beats" only the tempo of the header changes. In "seconds" every time does too, each rounded for
    itself, so that nothing drifts.

    Args:
        factor: least and most; all between them are equally likely. 2 is half the tempo.
        probability: that a passage is stretched.
        from_epoch: first epoch in which passages are.
        ramp_epochs: epochs over which the probability rises.
    """
    change = partial(_stretch, bounds=interval("factor", factor))
    return Augmentation(change, Schedule(probability, from_epoch, ramp_epochs))


def _stretch(draft: Draft, rng: np.random.Generator, *, bounds: tuple[float, float]) -> None:
    factor = drawn(rng, bounds)
    for place in draft.told(TEMPO):
        bpm = tempo_bpm(int(draft.header[place]) - TEMPO.start)
        draft.header[place] = TEMPO.start + tempo_bin(factor * MICROSECONDS_PER_MINUTE / bpm)
    if draft.time_base == "seconds":
        draft.warp(partial(_scaled, factor=factor))


def _scaled(steps: Ints, *, factor: float) -> Ints:
    scaled: Ints = np.floor(steps * factor + 0.5).astype(np.int64)
    return scaled

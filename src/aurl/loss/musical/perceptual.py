"""Distances between the music that is expected and the real one, as a listener might count it, segment by segment."""

from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from aurl.loss.kinds.registry import LOSSES, LossContext, Weight
from aurl.loss.musical.harmony import harmony_distance
from aurl.loss.musical.melody import melody_distance
from aurl.loss.musical.rhythm import rhythm_distance
from aurl.loss.musical.term import MusicalTerm
from aurl.loss.terms import Outcome
from aurl.model.discriminator.features import SEGMENT_TOKENS

Segment = Annotated[int, Ge(1)]


@LOSSES.register("perceptual_rhythm")
def perceptual_rhythm(context: LossContext, *, weight: Weight = 0.05, segment: Segment = SEGMENT_TOKENS) -> MusicalTerm:
    """How many notes begin, and how long one waits in between.

    Args:
        context: Of what is trained.
        weight: Of the sum over segments, divided by targets.
        segment: Ids in which expected and real counts are compared.
    """

    def cost(heard: Outcome) -> Tensor:
        what = heard.expected
        return rhythm_distance(what.waits, what.begins, targets=heard.targets, segment=segment)

    return MusicalTerm("perceptual_rhythm", weight, cost)


@LOSSES.register("perceptual_harmony")
def perceptual_harmony(
    context: LossContext, *, weight: Weight = 0.05, segment: Segment = SEGMENT_TOKENS
) -> MusicalTerm:
    """Which pitch classes there are, and which intervals they form with what sounds.

    Args:
        context: Of what is trained.
        weight: Of the sum over segments, divided by targets.
        segment: Ids in which expected and real counts are compared.
    """

    def cost(heard: Outcome) -> Tensor:
        return harmony_distance(heard.expected.classes, heard.played, segment=segment)

    return MusicalTerm("perceptual_harmony", weight, cost)


@LOSSES.register("perceptual_melody")
def perceptual_melody(context: LossContext, *, weight: Weight = 0.05, segment: Segment = SEGMENT_TOKENS) -> MusicalTerm:
    """Which intervals the melody takes, the highest note of each moment, which way and how far.

    Args:
        context: Of what is trained.
        weight: Of the sum over segments, divided by targets.
        segment: Ids in which expected and real counts are compared.
    """

    def cost(heard: Outcome) -> Tensor:
        what = heard.expected
        return melody_distance(what.pitches, what.classes, heard.played, segment=segment)

    return MusicalTerm("perceptual_melody", weight, cost)

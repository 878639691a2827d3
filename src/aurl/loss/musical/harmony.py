"""How expected notes sound with those that really sound.

Intervals fold octaves and inversions: 0 (unison, octave), 1 (semitone, major seventh) … 6 (tritone).
"""

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from aurl.loss.kinds.registry import LOSSES, LossContext, Weight
from aurl.loss.musical.expected import beyond, counts, expectation, squared
from aurl.loss.musical.played import Played
from aurl.loss.musical.term import MusicalTerm
from aurl.model.discriminator.bounded import grouped
from aurl.model.discriminator.features import INTERVALS
from aurl.model.discriminator.notes import PITCH_CLASSES

CONSONANCE = (0.0, -1.428, -0.582, 0.594, 0.386, 1.240, -0.453)
"""Of each interval but the unison (Huron, Music Perception 11, 1994), here 0; only the negative ones are used."""


@cache
def interval_table(device: torch.device) -> Tensor:
    """`(12, 12, 7)`: 1 at the interval between two pitch classes."""
    apart = (torch.arange(PITCH_CLASSES)[:, None] - torch.arange(PITCH_CLASSES)).abs()
    return one_hot(torch.minimum(apart, PITCH_CLASSES - apart), INTERVALS).float().to(device)


@cache
def harshness_table(device: torch.device) -> Tensor:
    """`(12, 12)`: how harsh pitch class i sounds with j, 0 (consonant) to 1 (a semitone)."""
    harsh = (-torch.tensor(CONSONANCE)).clamp(min=0) / -min(CONSONANCE)
    return interval_table(device) @ harsh.to(device)


def interval_counts(classes: Tensor, others: Tensor, counted: Tensor, segment: int) -> Tensor:
    """`(B, S, 7)`: how often each interval lies between `classes` and `others` `(B, T, 12)` in each segment.

    Added up by pairs of classes first: two products of matrices instead of seven shifted sums for each target.
    """
    one, other = grouped(classes * counted[..., None], segment), grouped(others.to(classes.dtype), segment)
    table = interval_table(classes.device).to(classes.dtype).flatten(0, 1)
    return (one.mT @ other).flatten(2) @ table


def harsh_intervals_sum(classes: Tensor, played: Played, *, excess: bool) -> Tensor:
    """Expected harshness of each note with all pitch classes that sound when it begins, summed over the notes.

    H(c) = Σ over sounding classes s of h(c, s), and the cost is Σ over notes of Σ over c of q(c) · max(0, H(c) − H(r)),
    where r is the real note.

    Args:
        classes: (B, T, 12) how likely each pitch class is if a note begins.
        played: what really sounds.
        excess: count only what is harsher than the real note; False: H itself.
    """
    harsh = (played.sounding @ harshness_table(classes.device)).to(classes.dtype)  # (B, T, 12)
    real = (played.pitch % PITCH_CLASSES)[..., None]
    return expectation(classes, beyond(harsh, real, excess=excess), played.note)


def harmony_distance(classes: Tensor, played: Played, *, segment: int) -> Tensor:
    """Squared difference of expected and real counts in each segment, summed over segments.

    Counted are the 12 pitch classes of notes that begin, and their 7 intervals with what sounds.

    Args:
        classes: (B, T, 12) how likely each pitch class is if a note begins.
        played: what really sounds.
        segment: targets whose counts are compared.
    """
    real = one_hot(played.pitch % PITCH_CLASSES, PITCH_CLASSES)
    surprise = classes - real
    heard = interval_counts(surprise, played.sounding, played.note, segment)
    return squared(counts(surprise, played.note, segment)) + squared(heard)


@LOSSES.register("harsh_intervals")
def harsh_intervals(context: LossContext, *, weight: Weight = 1.0, excess: bool = True) -> MusicalTerm:
    """Semitones, tritones and whole tones (and their inversions) with what sounds, expected where a note begins.

    Args:
        context: Of what is trained.
        weight: Of the mean over targets.
        excess: Count only what is harsher than the real note; false: all of it, what composers wrote too.
    """
    return MusicalTerm(
        "harsh_intervals",
        weight,
        lambda heard: harsh_intervals_sum(heard.expected.classes, heard.played, excess=excess),
    )

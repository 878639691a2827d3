"""How expected notes sound with those that really sound.

Intervals fold octaves and inversions: 0 (unison, octave), 1 (semitone, major seventh) … 6 (tritone).
"""

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from aurl.loss.kinds.registry import LOSSES, LossContext, Weight
from aurl.loss.musical.expected import beyond, counts, expectation, squared
from aurl.loss.musical.played import Played
from aurl.loss.musical.term import MusicalTerm
from aurl.model.discriminator.features import intervals
from aurl.model.discriminator.notes import PITCH_CLASSES

CONSONANCE = (0.0, -1.428, -0.582, 0.594, 0.386, 1.240, -0.453)
"""Of each interval from 1 on (Huron, Music Perception 11, 1994); only the negative ones, of dissonances, are used."""


@cache
def harshness_table(device: torch.device) -> Tensor:
    """`(12, 12)`: how harsh pitch class i sounds with j, 0 (consonant) to 1 (a semitone)."""
    harsh = (-torch.tensor(CONSONANCE)).clamp(min=0) / -min(CONSONANCE)
    apart = (torch.arange(PITCH_CLASSES)[:, None] - torch.arange(PITCH_CLASSES)).abs()
    return harsh[torch.minimum(apart, PITCH_CLASSES - apart)].to(device)


def pitch_classes(pitches: Tensor) -> Tensor:
    """`(…, 128)` → `(…, 12)`: sums over octaves."""
    whole = pad(pitches, (0, -pitches.shape[-1] % PITCH_CLASSES))
    return whole.reshape(*pitches.shape[:-1], -1, PITCH_CLASSES).sum(-2)


def harsh_intervals_sum(pitches: Tensor, played: Played, *, excess: bool) -> Tensor:
    """Expected harshness of each note with all pitch classes that sound when it begins, summed over the notes.

    H(c) = Σ over sounding classes s of h(c, s), and the cost is Σ over notes of Σ over c of q(c) · max(0, H(c) − H(r)),
    where r is the real note.

    Args:
        pitches: (B, T, 128) how likely each pitch is if a note begins.
        played: what really sounds.
        excess: count only what is harsher than the real note; False: H itself.
    """
    harsh = (played.sounding @ harshness_table(pitches.device)).to(pitches.dtype)  # (B, T, 12)
    real = (played.pitch % PITCH_CLASSES)[..., None]
    return expectation(pitch_classes(pitches), beyond(harsh, real, excess=excess), played.note)


def harmony_distance(pitches: Tensor, played: Played, *, segment: int) -> Tensor:
    """Squared difference of expected and real counts in each segment, summed over segments.

    Counted are the 12 pitch classes of notes that begin, and their 7 intervals with what sounds.

    Args:
        pitches: (B, T, 128) how likely each pitch is if a note begins.
        played: what really sounds.
        segment: targets whose counts are compared.
    """
    real = one_hot(played.pitch % PITCH_CLASSES, PITCH_CLASSES)
    surprise = pitch_classes(pitches) - real
    heard = intervals(surprise, played.sounding.to(surprise.dtype))
    return squared(counts(torch.cat([surprise, heard], -1), played.note, segment))


@LOSSES.register("harsh_intervals")
def harsh_intervals(context: LossContext, *, weight: Weight = 0.05, excess: bool = True) -> MusicalTerm:
    """Semitones, tritones and whole tones (and their inversions) with what sounds, expected where a note begins.

    Args:
        context: Of what is trained.
        weight: Of the mean over targets.
        excess: Count only what is harsher than the real note; false: all of it, what composers wrote too.
    """
    return MusicalTerm(
        "harsh_intervals",
        weight,
        lambda heard: harsh_intervals_sum(heard.expected.pitches, heard.played, excess=excess),
    )

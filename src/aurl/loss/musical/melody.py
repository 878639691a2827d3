"""How expected notes follow the melody that was really played."""

from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.nn.functional import one_hot

from aurl.loss.kinds.registry import LOSSES, LossContext, Weight
from aurl.loss.musical.expected import beyond, counts, expectation, squared
from aurl.loss.musical.harmony import interval_counts
from aurl.loss.musical.played import Played
from aurl.loss.musical.term import MusicalTerm
from aurl.model.discriminator.notes import NONE, PITCH_CLASSES
from aurl.tokens.vocabulary import NOTE_ON

OCTAVE = PITCH_CLASSES


def in_line(played: Played) -> Tensor:
    """`(B, T)` bool: notes of the melody that follow another one."""
    return played.note & (played.melody != NONE)


def from_line(played: Played, kind: torch.dtype) -> Tensor:
    """`(B, T, 128)`: semitones from the note of the melody before to each pitch."""
    pitch = torch.arange(NOTE_ON.size, dtype=kind, device=played.melody.device)
    return pitch - played.melody[..., None].to(kind)


def leaps_sum(pitches: Tensor, played: Played, *, largest: int, excess: bool) -> Tensor:
    """Expected leaps of the melody in octaves, summed over its notes.

    l(p) = max(0, |p − p'| − largest) / 12, where p' is the real note before, and the cost is Σ over notes of
    Σ over p of q(p) · max(0, l(p) − l(r)), where r is the real note.

    Args:
        pitches: (B, T, 128) how likely each pitch is if a note begins.
        played: what really sounds.
        largest: interval in semitones that is no leap yet.
        excess: count only what is wider than the real interval; False: l itself.
    """
    leap = from_line(played, pitches.dtype).abs_().sub_(largest).clamp_(min=0).div_(OCTAVE)
    return expectation(pitches, beyond(leap, played.pitch[..., None], excess=excess), in_line(played))


def melody_distance(pitches: Tensor, classes: Tensor, played: Played, *, segment: int) -> Tensor:
    """Squared difference of expected and real counts in each segment, summed over segments.

    Counted are the 7 intervals from one note of the melody to the next (as in `aurl.loss.musical.harmony`), their
    direction (semitones / 12, -1 to 1: wider ones are alike) and its size.

    Args:
        pitches: (B, T, 128) how likely each pitch is if a note begins.
        classes: (B, T, 12) the same of pitch classes.
        played: what really sounds.
        segment: targets whose counts are compared.
    """
    counted, real = in_line(played), played.pitch[..., None]
    before = one_hot(played.melody.clamp(min=0) % PITCH_CLASSES, PITCH_CLASSES)
    surprise = classes - one_hot(played.pitch % PITCH_CLASSES, PITCH_CLASSES)
    way = from_line(played, pitches.dtype).clamp_(-OCTAVE, OCTAVE).div_(OCTAVE)
    course = [torch.linalg.vecdot(pitches, how) - how.gather(2, real)[..., 0] for how in (way, way.abs())]
    steps = interval_counts(surprise, before, counted, segment)
    return squared(steps) + squared(counts(torch.stack(course, -1), counted, segment))


@LOSSES.register("leaps")
def leaps(
    context: LossContext,
    *,
    weight: Weight = 1.0,
    largest: Annotated[int, Ge(0), Le(127)] = 7,
    excess: bool = True,
) -> MusicalTerm:
    """Leaps of the melody, the highest note of each moment, expected after the real note before.

    Args:
        context: Of what is trained.
        weight: Of the mean over targets.
        largest: Semitones that are no leap yet; 7: a fifth.
        excess: Count only what is wider than the real interval; false: all leaps, what composers wrote too.
    """
    return MusicalTerm(
        "leaps", weight, lambda heard: leaps_sum(heard.expected.pitches, heard.played, largest=largest, excess=excess)
    )

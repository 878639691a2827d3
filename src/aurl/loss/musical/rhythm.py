"""When expected notes fall, after those that were really played."""

from functools import cache

import torch
from torch import Tensor

from aurl.loss.kinds.registry import LOSSES, LossContext, Weight
from aurl.loss.musical.expected import beyond, counts, expectation, squared
from aurl.loss.musical.played import Played, within
from aurl.loss.musical.term import MusicalTerm
from aurl.loss.terms import Outcome
from aurl.model.discriminator.notes import NONE
from aurl.tokens.vocabulary import MAX_SHIFT_STEPS, NOTE_ON, STEPS_PER_BEAT, TIME_SHIFT

GRID_PER_BEAT = (4, 3)
"""Notes fall on sixteenths, or on triplets of eighths."""
WAIT_CLASSES = 10
"""Waits of 1, 2, 4 … 512 steps; those between are of both neighbours, by their logarithm."""


@cache
def off_grid(device: torch.device) -> Tensor:
    """`(32,)`: distance of each step of a beat from the nearest point of the grid, 0 to 1 (a 32nd)."""
    step = torch.arange(STEPS_PER_BEAT)
    points = torch.cat([torch.arange(count + 1) * (STEPS_PER_BEAT / count) for count in GRID_PER_BEAT])
    farthest = STEPS_PER_BEAT / max(GRID_PER_BEAT) / 2
    return ((step[:, None] - points).abs().min(1).values / farthest).to(device)


@cache
def wait_classes(device: torch.device) -> Tensor:
    """`(512, 10)`: how much each wait is of each class."""
    octave = torch.arange(1, MAX_SHIFT_STEPS + 1).log2()
    return (1 - (octave[:, None] - torch.arange(WAIT_CLASSES)).abs()).clamp(min=0).to(device)


def off_grid_sum(waits: Tensor, played: Played, *, targets: Tensor, excess: bool) -> Tensor:
    """Expected distance of moments from the grid of the beat, summed over the TIME_SHIFTs that lead to one.

    g(s) is the distance of step s from the nearest sixteenth or triplet, 1 for a 32nd, and the cost is
    Σ over waits of Σ over v of q(v) · max(0, g(now + v) − g(now + r)), where r is the real wait.

    Args:
        waits: (B, T, 512) how likely each wait is, from 1 step on.
        played: what really sounds.
        targets: (B, T) ids.
        excess: count only what is further off than the real moment; False: g itself.
    """
    by_phase = waits.reshape(*waits.shape[:-1], -1, STEPS_PER_BEAT).sum(-2)  # whole beats change no phase
    step = torch.arange(1, STEPS_PER_BEAT + 1, device=waits.device)
    off = off_grid(waits.device).to(waits.dtype)[(played.now[..., None] + step) % STEPS_PER_BEAT]
    real = ((targets - TIME_SHIFT.start) % STEPS_PER_BEAT)[..., None]
    return expectation(by_phase, beyond(off, real, excess=excess), played.waits)


def uneven_sum(waits: Tensor, played: Played, *, targets: Tensor, excess: bool) -> Tensor:
    """Expected unevenness of the time between moments, summed over the TIME_SHIFTs that lead to a third one.

    u(i) = |i − d| / ((i + d) / 2) of intervals d and i between three successive moments, 0 to 2, of which 50 times the
    mean is the nPVI (Grabe & Low, 2002); the cost is Σ over waits of Σ over v of q(v) · max(0, u(since + v) −
    u(since + r)), where r is the real wait. No beat need be known.

    Args:
        waits: (B, T, 512) how likely each wait is, from 1 step on.
        played: what really sounds.
        targets: (B, T) ids.
        excess: count only what is less even than the real moment; False: u itself.
    """
    wait = torch.arange(1, MAX_SHIFT_STEPS + 1, dtype=waits.dtype, device=waits.device)
    between = played.between.clamp(min=1)[..., None].to(waits.dtype)
    both = wait + (played.since[..., None] + between)  # (B, T, 512)
    uneven = both.reciprocal_().mul_(-4 * between).add_(2).abs_()
    real = (targets - TIME_SHIFT.start).clamp(0, MAX_SHIFT_STEPS - 1)[..., None]
    counted = played.waits & (played.between != NONE)
    return expectation(waits, beyond(uneven, real, excess=excess), counted)


def rhythm_distance(waits: Tensor, begins: Tensor, *, targets: Tensor, segment: int) -> Tensor:
    """Squared difference of expected and real counts in each segment, summed over segments.

    Counted are waits by their length, and how often a note begins where a note or a wait comes next.

    Args:
        waits: (B, T, 512) how likely each wait is, from 1 step on.
        begins: (B, T) how likely it is that a note begins.
        targets: (B, T) ids, PAD where nothing counts.
        segment: targets whose counts are compared.
    """
    table = wait_classes(waits.device).to(waits.dtype)
    note, shift = within(targets, NOTE_ON), within(targets, TIME_SHIFT)
    real = counts(table[(targets - TIME_SHIFT.start).clamp(0, MAX_SHIFT_STEPS - 1)], shift, segment)
    lengths = counts(waits, shift, segment) @ table - real
    onsets = counts((begins - note.to(begins.dtype))[..., None], note | shift, segment)
    return squared(lengths) + squared(onsets)


@LOSSES.register("rhythm_regularity")
def rhythm_regularity(context: LossContext, *, weight: Weight = 1.0, excess: bool = True) -> MusicalTerm:
    """Moments off the grid of the beat; uneven times between them where no beat is known (time base "seconds").

    Args:
        context: Of what is trained.
        weight: Of the mean over targets.
        excess: Count only what is less regular than the real moment; false: all of it, what composers wrote too.
    """
    irregular = off_grid_sum if context.time_base == "beats" else uneven_sum

    def cost(heard: Outcome) -> Tensor:
        return irregular(heard.expected.waits, heard.played, targets=heard.targets, excess=excess)

    return MusicalTerm("rhythm_regularity", weight, cost)

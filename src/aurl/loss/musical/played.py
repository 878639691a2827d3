"""What really sounds before each target, read from the ids of a batch; nothing here has a gradient.

A target is told with the real music before it: the same position says what the model expects there (a distribution over
ids) and what it may know (the notes that sound, the melody so far, the time). Conventions are those of the
discriminator's features: onsets at most one step apart are one moment, and the melody is the highest note of each
(the skyline; Uitdenbogerd & Zobel, ACM MM 1998). Notes of drum parts have a rhythm, but neither harmony nor melody.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from aurl.model.discriminator.notes import NONE, PITCH_CLASSES, TOGETHER_STEPS, earlier, last, taken, tops
from aurl.tokens.vocabulary import (
    DRUM_PROGRAM,
    MAX_PARTS,
    NOTE_OFF,
    NOTE_ON,
    PAD,
    PART,
    PROGRAM,
    TIME_SHIFT,
    Group,
)


class Played(NamedTuple):
    """At each target, before it is played.

    Args:
        note: (B, T) bool, whether it begins a note that is no drum.
        pitch: (B, T) of that note, 0–127; of no meaning elsewhere.
        sounding: (B, T, 12) float, 1 for each pitch class that sounds, drums apart.
        melody: (B, T) the highest pitch of the moment before, or -1: where the target is not the highest of its own.
        waits: (B, T) bool, whether it is the TIME_SHIFT that leads to a new moment.
        now: (B, T) steps since the start of the piece.
        since: (B, T) steps since the moment before, 0 where there is none.
        between: (B, T) steps between the two moments before, or -1: fewer are known.
    """

    note: Tensor
    pitch: Tensor
    sounding: Tensor
    melody: Tensor
    waits: Tensor
    now: Tensor
    since: Tensor
    between: Tensor


class _Moments(NamedTuple):
    """Onsets in time; what sounds together begins at the first of them."""

    begins: Tensor
    before: Tensor
    second: Tensor
    after: Tensor


@torch.no_grad()
def played(ids: Tensor, targets: Tensor, start_steps: Tensor | None = None) -> Played:
    """Read a batch.

    Args:
        ids: (B, T) the music, context and all, padded with PAD; `ids[:, t]` is what position t is to tell.
        targets: (B, T) the same, PAD where nothing is to be predicted.
        start_steps: (B,) time before the first id; None: 0.
    """
    on, counts = within(ids, NOTE_ON), targets != PAD
    steps = torch.where(within(ids, TIME_SHIFT), ids - (TIME_SHIFT.start - 1), 0)
    at = steps.cumsum(1) if start_steps is None else steps.cumsum(1) + start_steps[:, None]
    part = running_part(ids)
    drum = is_drum(ids, part)
    pitch = ids.clamp(max=NOTE_ON.stop - 1)
    moments = _moments(on, at)
    waits, since, between = _waiting(ids, at, steps, moments)
    return Played(
        on & ~drum & counts,
        pitch,
        sounding(ids, part, drum),
        _melody(on & ~drum, at, pitch),
        waits & counts,
        at - steps,
        since,
        between,
    )


def within(ids: Tensor, group: Group) -> Tensor:
    """Which ids are of `group`."""
    return (ids >= group.start) & (ids < group.stop)


def running_part(ids: Tensor) -> Tensor:
    """`(B, T)`: part in force, -1 before any is told; those that the header declares are not."""
    follows = torch.cat([ids[:, 1:], torch.full_like(ids[:, :1], PAD)], 1)
    told = last(within(ids, PART) & ~within(follows, PROGRAM))
    return torch.where(told == NONE, NONE, taken(ids, told) - PART.start)


def is_drum(ids: Tensor, part: Tensor) -> Tensor:
    """`(B, T)` bool: whether `part` is one that the header declares as drums."""
    declared = (ids[:, 1:] == PROGRAM.start + DRUM_PROGRAM) & within(ids[:, :-1], PART)
    place = torch.where(declared, ids[:, :-1] - PART.start, MAX_PARTS)
    drums = torch.zeros(len(ids), MAX_PARTS + 1, dtype=torch.bool, device=ids.device)
    drums = drums.scatter(1, place, True)
    drums[:, MAX_PARTS] = False
    return drums.gather(1, torch.where(part == NONE, MAX_PARTS, part))


def sounding(ids: Tensor, part: Tensor, drum: Tensor) -> Tensor:
    """`(B, T, 12)`: 1 for each pitch class that sounds before each id; an end whose beginning is not known is none."""
    on, off = within(ids, NOTE_ON), within(ids, NOTE_OFF)
    pitch = torch.where(off, ids - NOTE_OFF.start, ids)
    lane = torch.where(on | off, (part + 1) * NOTE_ON.size + pitch, NONE)
    order = lane.argsort(dim=1, stable=True)
    lanes, starts = lane.gather(1, order), on.gather(1, order)
    known = (lanes[:, 1:] == lanes[:, :-1]) & starts[:, :-1]
    begun = torch.zeros_like(on).scatter(1, order[:, 1:], known)
    change = (on.int() - (off & begun).int()).masked_fill(drum, 0)
    counts = one_hot(pitch % PITCH_CLASSES, PITCH_CLASSES).int().mul_(change[..., None]).cumsum(1)
    counts = torch.cat([torch.zeros_like(counts[:, :1]), counts[:, :-1]], 1)
    return (counts > 0).float()


def _moments(on: Tensor, at: Tensor) -> _Moments:
    """Which onsets begin a moment, the two such before each id, and the next one, or T."""
    before = earlier(last(on))
    begins = on & ((before == NONE) | (at - taken(at, before) > TOGETHER_STEPS))
    latest = earlier(last(begins))
    second = torch.where(latest == NONE, NONE, taken(latest, latest))
    return _Moments(begins, latest, second, following(begins))


def following(marked: Tensor) -> Tensor:
    """`(B, T)`: the first marked position from each on, or T."""
    length = marked.shape[1]
    position = torch.arange(length, device=marked.device)
    return torch.where(marked, position, length).flip(1).cummin(1).values.flip(1)


def _waiting(ids: Tensor, at: Tensor, steps: Tensor, moments: _Moments) -> tuple[Tensor, Tensor, Tensor]:
    """Which TIME_SHIFTs lead to a moment, the time since the one before, and that between the two before."""
    shift = within(ids, TIME_SHIFT)
    next_shift = following(shift)
    after = torch.cat([next_shift[:, 1:], torch.full_like(next_shift[:, :1], ids.shape[1])], 1)
    first = taken(at, moments.before)
    since = torch.where(moments.before == NONE, 0, at - steps - first)
    between = torch.where(moments.second == NONE, NONE, first - taken(at, moments.second))
    return shift & (moments.after < after), since, between


def _melody(on: Tensor, at: Tensor, pitch: Tensor) -> Tensor:
    """Pitch of the top note before each top note, -1 elsewhere."""
    before = earlier(last(on))
    together = on & (before != NONE) & (at - taken(at, before) <= TOGETHER_STEPS)
    top = tops(on, together, pitch.float())
    line = torch.where(top, earlier(last(top)), NONE)
    return torch.where(line == NONE, NONE, taken(pitch, line))

"""What really sounds before each target, read from the ids of a batch; nothing here has a gradient.

A target is told with the real music before it: the same position says what the model expects there (a distribution over
ids) and what it may know (the notes that sound, the melody so far, the time). Conventions are those of the
discriminator's features: onsets at most one step apart are one moment, and the melody is the highest note of each
(the skyline; Uitdenbogerd & Zobel, ACM MM 1998). Notes of drum parts have a rhythm, but neither harmony nor melody.
"""

from functools import cached_property

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


class Played:
    """What is known at each target, computed when it is first asked for.

    Args:
        ids: (B, T) the music, context and all, padded with PAD; `ids[:, t]` is what position t is to tell.
        targets: (B, T) the same, PAD where nothing is to be predicted.
        start_steps: (B,) time before the first id; None: 0.
    """

    def __init__(self, ids: Tensor, targets: Tensor, start_steps: Tensor | None = None) -> None:
        self._ids, self._counts, self._start_steps = ids, targets != PAD, start_steps

    @cached_property
    def note(self) -> Tensor:
        """(B, T) bool, whether the target begins a note that is no drum."""
        return self._pitched & self._counts

    @cached_property
    def pitch(self) -> Tensor:
        """(B, T) of that note, 0–127; of no meaning elsewhere."""
        return self._ids.clamp(max=NOTE_ON.stop - 1)

    @cached_property
    def sounding(self) -> Tensor:
        """(B, T, 12) float, 1 for each pitch class that sounds before the target, drums apart."""
        return sounding(self._ids, self._part, self._drum)

    @cached_property
    def melody(self) -> Tensor:
        """(B, T) the highest pitch of the moment before, or -1: where the target is not the highest of its own."""
        before = earlier(last(self._pitched))
        together = self._pitched & (before != NONE) & (self._at - taken(self._at, before) <= TOGETHER_STEPS)
        top = tops(self._pitched, together, self.pitch.float())
        line = torch.where(top, earlier(last(top)), NONE)
        return torch.where(line == NONE, NONE, taken(self.pitch, line))

    @cached_property
    def waits(self) -> Tensor:
        """(B, T) bool, whether the target is the TIME_SHIFT that leads to a new moment."""
        shift = within(self._ids, TIME_SHIFT)
        next_shift = following(shift)
        after = torch.cat([next_shift[:, 1:], torch.full_like(next_shift[:, :1], next_shift.shape[1])], 1)
        return shift & (following(self._begins) < after) & self._counts

    @cached_property
    def now(self) -> Tensor:
        """(B, T) steps since the start of the piece."""
        return self._at - self._steps

    @cached_property
    def since(self) -> Tensor:
        """(B, T) steps since the moment before, 0 where there is none."""
        return torch.where(self._moment == NONE, 0, self.now - taken(self._at, self._moment))

    @cached_property
    def between(self) -> Tensor:
        """(B, T) steps between the two moments before, or -1: fewer are known."""
        second = torch.where(self._moment == NONE, NONE, taken(self._moment, self._moment))
        return torch.where(second == NONE, NONE, taken(self._at, self._moment) - taken(self._at, second))

    @cached_property
    def _on(self) -> Tensor:
        return within(self._ids, NOTE_ON)

    @cached_property
    def _pitched(self) -> Tensor:
        return self._on & ~self._drum

    @cached_property
    def _part(self) -> Tensor:
        return running_part(self._ids)

    @cached_property
    def _drum(self) -> Tensor:
        return is_drum(self._ids, self._part)

    @cached_property
    def _steps(self) -> Tensor:
        return torch.where(within(self._ids, TIME_SHIFT), self._ids - (TIME_SHIFT.start - 1), 0)

    @cached_property
    def _at(self) -> Tensor:
        """(B, T) time after each id."""
        at = self._steps.cumsum(1)
        return at if self._start_steps is None else at + self._start_steps[:, None]

    @cached_property
    def _begins(self) -> Tensor:
        """(B, T) bool, the first note of each moment, drums too."""
        before = earlier(last(self._on))
        return self._on & ((before == NONE) | (self._at - taken(self._at, before) > TOGETHER_STEPS))

    @cached_property
    def _moment(self) -> Tensor:
        """(B, T) place where the last moment before each id begins, or -1."""
        return earlier(last(self._begins))


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


def following(marked: Tensor) -> Tensor:
    """`(B, T)`: the first marked position from each on, or T."""
    return marked.shape[1] - 1 - last(marked.flip(1)).flip(1)

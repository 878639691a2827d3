"""What ids say as notes, position by position, so that a gradient reaches one-hots.

Every quantity is linear in the one-hots of the ids that it is read from, and which ids those are (the onset before this
one, the velocity that is in force) is taken from the ids as they are. Time is not a sum of steps here but a rotation
around each musical period: a product of one factor for each id, so that the derivative by a one-hot is what changes if
that id is put there, while that of a sum of steps would only ever ask for the longest shift or the shortest.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from aurl.model.discriminator.bounded import full_precision, looked_up
from aurl.model.embedding import shift_steps, sincos
from aurl.tokens.vocabulary import NOTE_ON, VELOCITY, VELOCITY_BINS

PERIODS_STEPS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 256)
"""Around which rhythm is heard: from sixteenth and eighth triplets to two bars of 4/4."""
MIDDLE_PITCH = 60
PITCH_CLASSES = 12
TOGETHER_STEPS = 1
"""Onsets this close sound together: the notes of a played chord are a step apart more often than not."""
NONE = -1


class Notes(NamedTuple):
    """Position by position; only meaningful at onsets, except `steps` and `loud`.

    Args:
        onset: (B, T) 1 at NOTE_ON.
        pitch: (B, T) octaves above middle C.
        pitch_class: (B, T, 12) one-hot.
        steps: (B, T) by how much the time moves.
        phase: (B, T, periods) complex, on the unit circle: time after this id, counted from the first one.
        level: (B, T) velocity in force, -1…1; 0 before any is told.
        known: (B, T) bool, whether one is.
        before: (B, T) position of the onset before, or -1.
        chord: (B, T) bool, whether the two sound together.
        line_before: (B, T) position of the top note before, or -1; -1 where this is no top note.
    """

    onset: Tensor
    pitch: Tensor
    pitch_class: Tensor
    steps: Tensor
    phase: Tensor
    level: Tensor
    known: Tensor
    before: Tensor
    chord: Tensor
    line_before: Tensor


def meanings(vocabulary_size: int) -> Tensor:
    """`(V, C)`: columns of what ids mean: onset, pitch, steps, is velocity, level, 12 pitch classes, rotations."""
    pitches, levels = torch.arange(NOTE_ON.size), torch.arange(VELOCITY_BINS)
    note = torch.zeros(vocabulary_size, 2)
    note[NOTE_ON.start : NOTE_ON.stop, 0] = 1
    note[NOTE_ON.start : NOTE_ON.stop, 1] = (pitches - MIDDLE_PITCH) / PITCH_CLASSES
    velocity = torch.zeros(vocabulary_size, 2)
    velocity[VELOCITY.start : VELOCITY.stop, 0] = 1
    velocity[VELOCITY.start : VELOCITY.stop, 1] = 2 * levels / (VELOCITY_BINS - 1) - 1
    classes = torch.zeros(vocabulary_size, PITCH_CLASSES)
    classes[NOTE_ON.start + pitches, pitches % PITCH_CLASSES] = 1
    steps = shift_steps(vocabulary_size)[:, None].float()
    periods = torch.tensor(PERIODS_STEPS)
    turns = steps % periods / periods  # whole turns left out, which cost precision that a long product needs
    return torch.cat([note, steps, velocity, classes, sincos(turns)], 1)


def read_notes(tokens: Tensor, real: Tensor, table: Tensor) -> Notes:
    """Notes of ids `(B, T)` or one-hots `(B, T, V)`, where `real` `(B, T)`; `table` is that of `meanings`."""
    with full_precision(real):
        said = looked_up(tokens, table.float()) * real[..., None]
    onset, pitch, steps, tells, level = said[..., :5].unbind(-1)
    sine, cosine = said[..., 5 + PITCH_CLASSES :].chunk(2, -1)
    phase = torch.complex(cosine + (~real)[..., None], sine).cumprod(1)  # padding does not turn
    with torch.no_grad():
        struck, known_at, at = onset > 0.5, last(tells > 0.5), steps.cumsum(1)
        before = earlier(last(struck))
        chord = struck & (before != NONE) & (at - taken(at, before) <= TOGETHER_STEPS)
        top = tops(struck, chord, pitch)
        line_before = torch.where(top, earlier(last(top)), NONE)
    known = known_at != NONE
    return Notes(
        onset,
        pitch,
        said[..., 5 : 5 + PITCH_CLASSES],
        steps,
        phase,
        taken(level, known_at) * known,
        known,
        before,
        chord,
        line_before,
    )


def last(marked: Tensor) -> Tensor:
    """`(B, T)`: the last marked position up to each, or -1."""
    position = torch.arange(marked.shape[1], device=marked.device)
    return torch.where(marked, position, NONE).cummax(1).values


def earlier(positions: Tensor) -> Tensor:
    """What stood at the position before; -1 at the first."""
    return torch.cat([torch.full_like(positions[:, :1], NONE), positions[:, :-1]], 1)


def tops(struck: Tensor, chord: Tensor, pitch: Tensor) -> Tensor:
    """`(B, T)`: onsets than which none that sounds together with them is higher."""
    moment = (struck & ~chord).cumsum(1)  # up to T, and 0 before the first onset
    heights = torch.where(struck, pitch, -torch.inf)
    highest = torch.full_like(heights, -torch.inf)
    highest = torch.cat([highest, highest[:, :1]], 1).scatter_reduce(1, moment, heights, "amax")
    return struck & (heights >= highest.gather(1, moment))


def taken(x: Tensor, positions: Tensor) -> Tensor:
    """`x` `(B, T, …)` at `positions` `(B, T)`; anything where they are -1."""
    index = positions.clamp(min=0)
    return x.gather(1, index if x.dim() == 2 else index[..., None].expand(x.shape))

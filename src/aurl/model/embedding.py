"""Ids and their musical position as vectors."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear

from aurl.model.elapsed import Clock, tell
from aurl.model.layers import normalised
from aurl.tokens.vocabulary import MAX_SHIFT_STEPS, SEP, STEPS_PER_BEAT, TIME_SHIFT, VELOCITY, VELOCITY_BINS

PHASE_PERIODS_STEPS = (4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072)
"""Musical periods whose phase a position knows: from a 32nd note to 96 beats, in twos and threes."""
PHASE_CYCLE_STEPS = math.lcm(*PHASE_PERIODS_STEPS)
ELAPSED_BEATS = 1024
"""Beats of elapsed time that are told apart; later ones are all `late`."""


INITIAL_STD = 0.02
"""Small, for the table is the output layer too and first guesses should be even; the sum is normalised anyway."""


def sincos(turns: Tensor) -> Tensor:
    """`(..., n)` fractions of a turn → `(..., 2 n)`."""
    angles = 2 * math.pi * turns
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def shift_steps(vocabulary_size: int) -> Tensor:
    """`(V,)` int64: by how many steps each id moves the time."""
    steps = torch.zeros(vocabulary_size, dtype=torch.int64)
    steps[TIME_SHIFT.start : TIME_SHIFT.stop] = torch.arange(1, MAX_SHIFT_STEPS + 1)
    return steps


def number_features(vocabulary_size: int) -> Tensor:
    """`(V, F)`: what ids mean as numbers. TIME_SHIFT as waves and logarithm of its length, velocity as a staircase.

    Most of the 512 shifts are rare; through these features they share what the frequent ones have learned.
    """
    steps = torch.arange(1, MAX_SHIFT_STEPS + 1)[:, None]
    periods = torch.tensor(PHASE_PERIODS_STEPS[:11])
    shift = torch.cat([sincos(steps / periods), sincos(steps.log2() / 20), steps.log2() / 9, torch.ones_like(steps)], 1)
    stairs = torch.ones(VELOCITY_BINS, VELOCITY_BINS).tril()
    features = torch.zeros(vocabulary_size, shift.shape[1] + VELOCITY_BINS)
    features[TIME_SHIFT.start : TIME_SHIFT.stop, : shift.shape[1]] = shift
    features[VELOCITY.start : VELOCITY.stop, shift.shape[1] :] = stairs
    return features


class Tables(NamedTuple):
    """What the embedding adds up, a row for each value: they depend on the weights only.

    Args:
        ids: `(V, d_model)`, id and number together; also the output layer.
        phase: `(PHASE_CYCLE_STEPS, d_model)`.
        elapsed: `(ELAPSED_BEATS, d_model)`.
    """

    ids: Tensor
    phase: Tensor
    elapsed: Tensor


class MusicEmbedding(nn.Module):
    """Sum of id, number, phase and elapsed time, normalised.

    Args:
        vocabulary_size: ids known.
        d_model: width of the residual stream.
    """

    shift_steps: Tensor
    numbers: Tensor
    phases: Tensor
    elapsed: Tensor

    def __init__(self, vocabulary_size: int, d_model: int) -> None:
        super().__init__()
        cycle = torch.arange(PHASE_CYCLE_STEPS)[:, None]
        beats = torch.arange(ELAPSED_BEATS)[:, None]
        self.register_buffer("shift_steps", shift_steps(vocabulary_size), persistent=False)
        self.register_buffer("numbers", number_features(vocabulary_size), persistent=False)
        self.register_buffer("phases", sincos(cycle / torch.tensor(PHASE_PERIODS_STEPS)), persistent=False)
        elapsed = torch.cat([beats.add(1).log2() / 10, sincos(beats / (2 * ELAPSED_BEATS))], 1)
        self.register_buffer("elapsed", elapsed, persistent=False)
        self.ids = nn.Parameter(torch.randn(vocabulary_size, d_model) * INITIAL_STD)
        self.from_number = nn.Parameter(torch.randn(d_model, self.numbers.shape[1]) * INITIAL_STD)
        self.from_phase = nn.Parameter(torch.randn(d_model, self.phases.shape[1]) * INITIAL_STD)
        self.from_elapsed = nn.Parameter(torch.randn(d_model, elapsed.shape[1]) * INITIAL_STD)

    def times(self, ids: Tensor, clock: Clock) -> tuple[Tensor, Clock]:
        """`(B, T)`: time after each id, for ids `(B, T)` that begin where `clock` stands; and where it stands then."""
        return tell(clock, self.shift_steps[ids], ids == SEP)

    def tables(self) -> Tables:
        """The tables as the weights are now: 60 MFLOP, many times those of a decode step, which keeps them."""
        return Tables(
            self.ids + linear(self.numbers, self.from_number),
            linear(self.phases, self.from_phase),
            linear(self.elapsed, self.from_elapsed),
        )

    def forward(self, ids: Tensor, elapsed_steps: Tensor, tables: Tables) -> Tensor:
        """`(B, T, d_model)`, normalised, for ids and the time after each of them, both `(B, T)`."""
        return self._at(embedding(ids, tables.ids), elapsed_steps, tables)

    def soft(self, one_hots: Tensor, elapsed_steps: Tensor, tables: Tables) -> Tensor:
        """The same for `(B, T, V)` one-hots, with gradient to them; times are told apart by hard ids only."""
        return self._at(one_hots @ tables.ids, elapsed_steps, tables)

    def _at(self, x: Tensor, elapsed_steps: Tensor, tables: Tables) -> Tensor:
        beat = (elapsed_steps // STEPS_PER_BEAT).clamp(max=ELAPSED_BEATS - 1)
        phase = elapsed_steps % PHASE_CYCLE_STEPS
        return normalised(x + embedding(phase, tables.phase) + embedding(beat, tables.elapsed))

"""What a model expects of the next note and the next wait, and sums over it."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from aurl.model.discriminator.bounded import grouped
from aurl.model.discriminator.notes import PITCH_CLASSES
from aurl.tokens.vocabulary import NOTE_ON, TIME_SHIFT

NOTES = slice(NOTE_ON.start, NOTE_ON.stop)
WAITS = slice(TIME_SHIFT.start, TIME_SHIFT.stop)


class Expected(NamedTuple):
    """At each position, in float32, with gradient.

    Args:
        pitches: (B, T, 128) how likely each pitch is if a note begins.
        waits: (B, T, 512) how likely each wait is, from 1 step to 512, if time passes.
        begins: (B, T) how likely it is that a note begins, if it or a wait comes next.
        classes: (B, T, 12) how likely each pitch class is if a note begins.
    """

    pitches: Tensor
    waits: Tensor
    begins: Tensor
    classes: Tensor


class Expectation(Function):
    """Two softmaxes over slices, and which of the slices.

    A function of its own, for each slice of the logits would be given a gradient of the size of all of them, most of
    it zeros: those took most of the time of everything that is done with the slices.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`(…, V)` → `(…, 128)`, `(…, 512)` and `(…)`, at least float32."""
        kind = torch.promote_types(logits.dtype, torch.float32)
        notes, waits = logits[..., NOTES].to(kind), logits[..., WAITS].to(kind)
        pitches, lengths = notes.softmax(-1), waits.softmax(-1)
        begins = torch.sigmoid(_total(notes, pitches) - _total(waits, lengths))
        ctx.save_for_backward(pitches, lengths, begins)
        ctx.shape, ctx.type = logits.shape, logits.dtype
        ctx.set_materialize_grads(False)  # zeros would be as large as what they are the gradient of
        return pitches, lengths, begins

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_pitches: Tensor | None, to_waits: Tensor | None, to_begins: Tensor | None) -> Tensor:
        """Of softmax p: g → p (g − p · g); of the sigmoid s: g → ± s (1 − s) p g."""
        pitches, waits, begins = ctx.saved_tensors
        which = None if to_begins is None else (to_begins * begins * (1 - begins))[..., None]
        gradient = torch.empty(ctx.shape, dtype=ctx.type, device=pitches.device)
        gradient[..., NOTES] = _slope(pitches, to_pitches, which)
        gradient[..., NOTES.stop : WAITS.start] = 0
        gradient[..., WAITS] = _slope(waits, to_waits, None if which is None else -which)
        gradient[..., WAITS.stop :] = 0
        return gradient


def expected(logits: Tensor) -> Expected:
    """What logits `(B, T, V)` expect."""
    pitches, waits, begins = Expectation.apply(logits)  # type: ignore[no-untyped-call]
    return Expected(pitches, waits, begins, pitch_classes(pitches))


def pitch_classes(pitches: Tensor) -> Tensor:
    """`(…, 128)` → `(…, 12)`: sums over octaves."""
    whole = pad(pitches, (0, -pitches.shape[-1] % PITCH_CLASSES))
    return whole.reshape(*pitches.shape[:-1], -1, PITCH_CLASSES).sum(-2)


def _total(logits: Tensor, probabilities: Tensor) -> Tensor:
    """Logarithm of the sum of exponentials; the softmax has done most of the work."""
    return logits.amax(-1) - probabilities.amax(-1).log()


def _slope(probabilities: Tensor, gradient: Tensor | None, shift: Tensor | None) -> Tensor | float:
    """Gradient of the logits of a softmax, and of their total, where there are any."""
    if gradient is None:
        return 0.0 if shift is None else probabilities * shift
    mean: Tensor = torch.linalg.vecdot(probabilities, gradient)[..., None]
    slope: Tensor = gradient - (mean if shift is None else mean - shift)
    return slope.mul_(probabilities)


def beyond(costs: Tensor, real: Tensor, *, excess: bool) -> Tensor:
    """`(B, T, K)` costs of K answers, as far as they exceed that of the real one `(B, T, 1)`, or as they are."""
    return (costs - costs.gather(2, real)).relu_() if excess else costs


def expectation(likely: Tensor, costs: Tensor, counted: Tensor) -> Tensor:
    """Sum of expected costs.

    Args:
        likely: (B, T, K) probability of each answer.
        costs: (B, T, K) what it costs.
        counted: (B, T) bool, which targets count.
    """
    each: Tensor = torch.linalg.vecdot(likely, costs)
    return (each * counted).sum()


def counts(values: Tensor, counted: Tensor, segment: int) -> Tensor:
    """`(B, S, F)`: sums of `values` `(B, T, F)` over the targets of each segment that are `counted` `(B, T)`."""
    return grouped(values * counted[..., None], segment).sum(2)


def squared(surprise: Tensor) -> Tensor:
    """Sum of squared differences `(B, S, F)` between expected and real counts.

    A count is linear in the probabilities. So the expected square is least where they are right, as that of the
    likelihood is: the square of a sum of surprises is on average the sum of their squares (Brier, 1950), for what one
    target brings is no surprise to those after it.
    """
    return surprise.square().sum()

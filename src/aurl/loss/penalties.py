"""Penalties on how steeply a discriminator's scores rise, which keep it from leading the generator in circles.

Conventions: each view is asked for the gradient of its score with respect to its own input (embedded ids, musical
features, local latents), for ids have no neighbours; lengths are over the whole window. As in `adversarial`, views
count alike and a window by its number of targets. A view that hears nothing of a window costs nothing there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from aurl.loss.adversarial import over_windows
from aurl.model.discriminator import Input

Scores = Callable[[Sequence[Input]], Sequence[Tensor]]
"""Inputs → `(B, 1)` score of each; rows must not meet."""
R1, GRADIENT_PENALTY = "r1", "gradient_penalty"
REGULARISED = "regularised"
"""Name of the sum of targets that R1, which is lazy, was computed of."""
SHORTEST = 1e-12
"""Squared length below which a gradient has no direction: the root's slope at 0 is infinite."""


class Penalty(NamedTuple):
    """What they come to.

    Args:
        cost: what is minimised, with gradient; a plain 0 where there is none.
        parts: each that was computed, before its weight, by name; without gradient.
    """

    cost: Tensor | float
    parts: dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Penalties:
    """Those that a discriminator pays, by their weights.

    Args:
        r1: of the slope at real music.
        r1_every: steps between two of them (lazy; Karras et al., StyleGAN2, CVPR 2020); each counts for all.
        gradient_penalty: of the slope between real music and fakes, in every step.
    """

    r1: float = 0.0
    r1_every: int = 1
    gradient_penalty: float = 0.0

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self.r1 or self.gradient_penalty)

    def __call__(
        self, scores: Scores, real: Sequence[Input], fake: Sequence[Input], tokens: Tensor, *, lazy: bool
    ) -> Penalty:
        """Penalties of a batch, as sums over its targets.

        Args:
            scores: the discriminator.
            real: what its parts take of real windows.
            fake: the same of generated ones.
            tokens: (B,) targets of each window.
            lazy: whether R1's turn has come.
        """
        cost: Tensor | float = 0.0
        parts: dict[str, Tensor] = {}
        if self.r1 and lazy:
            parts |= {R1: r1(scores, real, tokens), REGULARISED: tokens.sum()}
            cost = cost + self.r1 * self.r1_every * parts[R1]
        if self.gradient_penalty:
            shares = torch.rand(len(tokens), device=tokens.device)
            parts[GRADIENT_PENALTY] = gradient_penalty(scores, real, fake, tokens, shares)
            cost = cost + self.gradient_penalty * parts[GRADIENT_PENALTY]
        return Penalty(cost, {name: part.detach() for name, part in parts.items()})


def r1(scores: Scores, real: Sequence[Input], tokens: Tensor) -> Tensor:
    """Squared length of the gradient at real music (Mescheder et al., ICML 2018, without their factor of 1/2).

    Args:
        scores: the discriminator.
        real: what its parts take of real windows.
        tokens: (B,) targets of each window.
    """
    return over_windows(_squared_slopes(scores, real), tokens)


def gradient_penalty(
    scores: Scores, real: Sequence[Input], fake: Sequence[Input], tokens: Tensor, shares: Tensor
) -> Tensor:
    """Squared difference from 1 of the gradient's length between real music and fakes (Gulrajani et al., NIPS 2017).

    Args:
        scores: the discriminator.
        real: what its parts take of real windows.
        fake: the same of generated ones.
        tokens: (B,) targets of each window.
        shares: (B,) of the real window, 0…1, uniformly drawn: where between the two it is asked.
    """
    between = [_between(one, other, shares) for one, other in zip(real, fake, strict=True)]
    squares = _squared_slopes(scores, between)
    lengths = [torch.sqrt(square + SHORTEST) for square in squares]
    heard = [one.real.any(1) for one in between]
    return over_windows([(length - 1).square() * there for length, there in zip(lengths, heard, strict=True)], tokens)


def _squared_slopes(scores: Scores, inputs: Sequence[Input]) -> list[Tensor]:
    """`(B,)` of each part, with gradient to its weights."""
    asked = [one._replace(x=one.x.detach().requires_grad_()) for one in inputs]
    total = torch.stack([score.sum() for score in scores(asked)]).sum()
    slopes = torch.autograd.grad(total, [one.x for one in asked], create_graph=True)
    return [slope.flatten(1).square().sum(1) for slope in slopes]


def _between(real: Input, fake: Input, shares: Tensor) -> Input:
    return Input(real.name, torch.lerp(fake.x, real.x, shares[:, None, None]), real.real & fake.real)

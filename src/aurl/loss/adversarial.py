"""Hinge losses of generator and discriminator, and feature matching.

Conventions: each view counts alike, and so does each of its layers. A window counts by its number of targets: a loss is
the sum over windows of (loss of the window × targets of the window). Divided by all targets it is a mean over music,
into whatever batches and for whatever processes that was divided.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import relu

from aurl.model.discriminator import View


class Music(NamedTuple):
    """What a discriminator is played.

    Args:
        ids: (B, T), or one-hots (B, T, V) where a gradient is to reach them.
        real: (B, T) bool, False where there is padding.
        locals_: (B, n, size) local latents; None where they are not heard.
        locals_real: (B, n) bool, False for those of padding.
    """

    ids: Tensor
    real: Tensor
    locals_: Tensor | None = None
    locals_real: Tensor | None = None


class Heard(NamedTuple):
    """What it heard.

    Args:
        real: views of real windows, without gradient.
        fake: views of generated windows, with gradient.
        tokens: (B,) targets of each window.
    """

    real: Sequence[View]
    fake: Sequence[View]
    tokens: Tensor


class Verdict(NamedTuple):
    """How well it told them apart.

    Args:
        loss: what the discriminator minimises.
        correct: share of scores on the right side of 0, times targets; without gradient.
        real: views of the real windows, without gradient.
        parts: view → what `loss` is the mean of; without gradient.
    """

    loss: Tensor
    correct: Tensor
    real: Sequence[View]
    parts: Mapping[str, Tensor]


Listen = Callable[[Music], Sequence[View]]


def discriminator_loss(listen: Listen, real: Music, fake: Music, tokens: Tensor) -> Verdict:
    """Hinge loss (Lim & Ye, 2017), averaged over views. What is judged is detached here, and only here.

    Real and generated windows are heard in one call: a discriminator in several processes then has one forward pass
    for each backward pass, and half as many small operations.

    Args:
        listen: the discriminator.
        real: with ids.
        fake: with one-hots.
        tokens: (B,) targets of each window.
    """
    views = listen(_together(real, fake._replace(ids=fake.ids.argmax(-1))))
    rows = len(tokens)
    scores = [view.score.float() for view in views]
    margins = [torch.cat([score[:rows], -score[rows:]], 1) for score in scores]  # (B, 2): both should exceed 1
    losses = [relu(1 - margin).sum(1) for margin in margins]
    correct = [(margin.detach() > 0).float().mean(1) for margin in margins]
    heard = [_first(view, rows) for view in views]
    parts = _of_each(views, losses, tokens)
    return Verdict(over_windows(losses, tokens), over_windows(correct, tokens), heard, parts)


def deception(fake: Sequence[View], tokens: Tensor) -> Tensor:
    """What the generator minimises: the negative score of its windows, averaged over views."""
    return over_windows(_doubts(fake), tokens)


def deception_of_each(fake: Sequence[View], tokens: Tensor) -> dict[str, Tensor]:
    """View → what `deception` is the mean of; without gradient."""
    return _of_each(fake, _doubts(fake), tokens)


def feature_distance(real: Sequence[View], fake: Sequence[View], tokens: Tensor) -> Tensor:
    """Mean absolute difference of what the layers make of real and of generated windows (Larsen et al., ICML 2016)."""
    distances = []
    for one, other in zip(real, fake, strict=True):
        layers = [_distance(a, b, len(tokens)) for a, b in zip(one.features, other.features, strict=True)]
        distances.append(torch.stack(layers).mean(0))
    return over_windows(distances, tokens)


def over_windows(values: Sequence[Tensor], tokens: Tensor) -> Tensor:
    """Values `(B,)` of each view, averaged over views and added up over windows by their targets."""
    return (torch.stack(list(values)).mean(0) * tokens).sum()


def _of_each(views: Sequence[View], values: Sequence[Tensor], tokens: Tensor) -> dict[str, Tensor]:
    return {view.name: (value.detach() * tokens).sum() for view, value in zip(views, values, strict=True)}


def _doubts(fake: Sequence[View]) -> list[Tensor]:
    return [-view.score.float()[:, 0] for view in fake]


def _together(one: Music, other: Music) -> Music:
    """Two batches as one, without gradient."""
    locals_ = locals_real = None
    if one.locals_ is not None and other.locals_ is not None:
        locals_ = torch.cat([one.locals_, other.locals_]).detach()
    if one.locals_real is not None and other.locals_real is not None:
        locals_real = torch.cat([one.locals_real, other.locals_real])
    return Music(torch.cat([one.ids, other.ids]).detach(), torch.cat([one.real, other.real]), locals_, locals_real)


def _distance(real: Tensor, fake: Tensor, rows: int) -> Tensor:
    """`(B,)`; features may hold several rows for each window, side by side."""
    return (real.float() - fake.float()).abs().reshape(rows, -1).mean(1)


def _first(view: View, rows: int) -> View:
    """The view of the first `rows` windows of twice as many."""
    features = tuple(layer.detach()[: len(layer) // 2] for layer in view.features)
    return View(view.name, view.score.detach()[:rows], features)

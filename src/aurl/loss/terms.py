"""The terms of the objective: each computes one or several named costs from what the model made of a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from aurl.loss.adversarial import Heard, deception, deception_of_each, feature_distance
from aurl.loss.bag import bag_sum
from aurl.loss.kl import AddUp, alone, with_free_bits
from aurl.loss.musical.expected import Expected, expected
from aurl.loss.musical.played import Played
from aurl.loss.reconstruction import cross_entropy_sum
from aurl.model.latents import Level
from aurl.model.latents.parts import Reconstruction

RECONSTRUCTION, ECHO = "reconstruction", "echo"
ADVERSARIAL, FEATURE_MATCHING = "adversarial", "feature_matching"


@dataclass(frozen=True)
class Outcome:
    """What a model made of a batch.

    Args:
        logits: (B, T, V).
        targets: (B, T), PAD where nothing is to be predicted.
        following: (B, T) ids that the latents are of, padded with PAD.
        latent: what there is with latents, None in mode `transformer`.
        heard: what a discriminator heard, None where none listens.
        start_steps: (B,) time before the first id; None: 0.
        teacher: (B, T, V) logits of a teacher, without gradient; None where nobody teaches.
    """

    logits: Tensor
    targets: Tensor
    following: Tensor
    latent: Reconstruction | None = None
    heard: Heard | None = None
    start_steps: Tensor | None = None
    teacher: Tensor | None = None

    @cached_property
    def log_probabilities(self) -> Tensor:
        """(B, T, V) float32 of the ids that may follow each input, with gradient; shared by all terms that need it."""
        return self.logits.float().log_softmax(-1)

    @cached_property
    def played(self) -> Played:
        """What really sounds before each target."""
        return Played(self.following, self.targets, self.start_steps)

    @cached_property
    def expected(self) -> Expected:
        """What is expected of the next note and the next wait, with gradient."""
        return expected(self.logits)


class Charge(NamedTuple):
    """What one term costs.

    Args:
        cost: what is minimised, before its weight.
        shown: what is logged, without gradient: without smoothing, and what is free too.
    """

    cost: Tensor
    shown: Tensor


class Term(Protocol):
    """A family of costs that are computed together, as sums over targets or latents."""

    @property
    def weights(self) -> Mapping[str, float]:
        """Name of each cost that is minimised → its weight at first."""
        ...

    def __call__(self, outcome: Outcome) -> dict[str, Charge]:
        """Name → cost, nothing where the outcome is not (yet) of the kind that it is about.

        What has a name without weight is only shown.
        """
        ...


class Divergence:
    """KL divergence of every level.

    Args:
        free_nats: level → nats that a latent may cost in the mean of a batch.
        add_up: the mean is over all processes.
        beta: weight of every level.
    """

    def __init__(self, free_nats: Mapping[str, float], add_up: AddUp = alone, *, beta: float = 1.0) -> None:
        self.weights = {kl_name(level): beta for level in free_nats}
        self._free_nats, self._add_up = free_nats, add_up

    def __call__(self, outcome: Outcome) -> dict[str, Charge]:
        """`shown` is all of it, what is free too."""
        if outcome.latent is None:
            return {}
        kl = outcome.latent.kl
        real = {level: posterior.real for level, posterior in outcome.latent.posteriors.items()}
        costs = with_free_bits(kl, real, self._free_nats, self._add_up)
        return {kl_name(level): Charge(cost, kl[level].detach().sum()) for level, cost in costs.items()}


class Bags:
    """What each latent tells by itself of the ids in its segment.

    Args:
        levels: whose latents.
        weight: of each level.
    """

    def __init__(self, levels: Sequence[Level], *, weight: float) -> None:
        self.weights = {bag_name(level.name): weight for level in levels}
        self._levels = tuple(levels)

    def __call__(self, outcome: Outcome) -> dict[str, Charge]:
        """One cost for each level."""
        if outcome.latent is None:
            return {}
        ids, bags = outcome.following, outcome.latent.bags
        positions = torch.arange(ids.shape[1], device=ids.device)
        costs = {level.name: bag_sum(bags[level.name], ids, level.segment_of(positions)) for level in self._levels}
        return {bag_name(level): Charge(cost, cost.detach()) for level, cost in costs.items()}


class Echoes:
    """What all latents together tell, without any past, of each id in its place.

    Args:
        weight: of it.
    """

    def __init__(self, *, weight: float) -> None:
        self.weights = {ECHO: weight}

    def __call__(self, outcome: Outcome) -> dict[str, Charge]:
        """Of some positions; counted as often as if all had been asked."""
        if outcome.latent is None:
            return {}
        logits, positions = outcome.latent.echo
        ids = outcome.following
        cost = cross_entropy_sum(logits, ids.index_select(1, positions)) * (ids.shape[1] / len(positions))
        return {ECHO: Charge(cost, cost.detach())}


class Deception:
    """What it takes to sound real to a discriminator, and to look real to its layers.

    Args:
        adversarial: weight of the first.
        feature_matching: weight of the second.
    """

    def __init__(self, *, adversarial: float, feature_matching: float) -> None:
        self.weights = {ADVERSARIAL: adversarial, FEATURE_MATCHING: feature_matching}

    def __call__(self, outcome: Outcome) -> dict[str, Charge]:
        """Nothing while no discriminator listens."""
        heard = outcome.heard
        if heard is None:
            return {}
        costs = {
            ADVERSARIAL: deception(heard.fake, heard.tokens),
            FEATURE_MATCHING: feature_distance(heard.real, heard.fake, heard.tokens),
        }
        of_each = deception_of_each(heard.fake, heard.tokens)
        shown = {f"{ADVERSARIAL}_{view}": Charge(cost, cost) for view, cost in of_each.items()}
        return {name: Charge(cost, cost.detach()) for name, cost in costs.items()} | shown


def kl_name(level: str) -> str:
    """Name of a level's KL divergence, here and in the log."""
    return f"kl_{level}"


def bag_name(level: str) -> str:
    """Name of what a level's bag of ids costs, here and in the log."""
    return f"bag_{level}"

"""Named terms and their weights → one number to minimise and every part of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from aurl.errors import UsageError
from aurl.loss.kl import AddUp, alone
from aurl.loss.terms import (
    ADVERSARIAL,
    ECHO,
    FEATURE_MATCHING,
    RECONSTRUCTION,
    Bags,
    Deception,
    Divergence,
    Echoes,
    Likelihood,
    Outcome,
    Term,
    bag_name,
    kl_name,
)
from aurl.model.latents import Level
from aurl.profile import Profile
from aurl.profile.training_sections import Loss


@dataclass(frozen=True, slots=True)
class Losses:
    """What one batch costs, as sums over its targets.

    Args:
        total: the weighted sum, with gradient.
        parts: each term before its weight, as it is logged, without gradient.
    """

    total: Tensor
    parts: dict[str, Tensor]

    @property
    def nats(self) -> Tensor:
        """Negative log-likelihood, without weight or smoothing."""
        return self.parts[RECONSTRUCTION]


class Objective:
    """Adds up weighted terms.

    Args:
        terms: what can be computed.
        weights: name → factor; a term without weight is not computed.

    Attributes:
        weights: they may be changed, but none can be added.

    Raises:
        UsageError: a weight names no term.
    """

    def __init__(self, terms: Sequence[Term], weights: Mapping[str, float]) -> None:
        known = [name for term in terms for name in term.names]
        if unknown := sorted(set(weights) - set(known)):
            raise UsageError(f"weights of unknown loss terms: {', '.join(unknown)}", hint=f"known: {', '.join(known)}")
        self.weights = dict(weights)
        self._terms = [term for term in terms if any(name in weights for name in term.names)]

    def __call__(self, outcome: Outcome) -> Losses:
        """Cost of one batch."""
        charges = {name: charge for term in self._terms for name, charge in term(outcome).items()}
        weighted = [self.weights[name] * charge.cost for name, charge in charges.items() if name in self.weights]
        total = sum(weighted, start=outcome.logits.new_zeros(()))
        return Losses(total, {name: charge.shown for name, charge in charges.items()})


def build_objective(profile: Profile, levels: Sequence[Level] = (), *, add_up: AddUp = alone) -> Objective:
    """The objective that the profile describes.

    Args:
        profile: its `loss` section counts where there are latents.
        levels: of the model's latents; none in mode `transformer`.
        add_up: sums over the processes.
    """
    loss = profile.loss
    terms: list[Term] = [Likelihood(profile.training.label_smoothing)]
    weights = {RECONSTRUCTION: 1.0}
    if levels:
        terms += [Divergence({level.name: free_bits(loss, level) for level in levels}, add_up), Bags(levels), Echoes()]
        weights |= kl_weights(levels, loss.beta)
        hints = hint_weights(levels, bag=loss.bag, echo=loss.echo)
        weights |= {name: weight for name, weight in hints.items() if weight}
    if profile.model.mode == "vae_gan":
        terms.append(Deception())
        weights |= {ADVERSARIAL: loss.adversarial, FEATURE_MATCHING: loss.feature_matching}
    return Objective(terms, weights)


def kl_weights(levels: Sequence[Level], beta: float) -> dict[str, float]:
    """The weights of all KL divergences."""
    return {kl_name(level.name): beta for level in levels}


def hint_weights(levels: Sequence[Level], *, bag: float, echo: float) -> dict[str, float]:
    """The weights of what latents are to tell by themselves."""
    return {bag_name(level.name): bag for level in levels} | {ECHO: echo}


def free_bits(loss: Loss, level: Level) -> float:
    """Nats that a latent of `level` may cost in the mean of a batch."""
    free: float = getattr(loss, f"free_bits_{level.name}")
    return free

"""Named terms and their weights → one number to minimise and every part of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from aurl.errors import UsageError
from aurl.loss.balancing import BALANCERS, BalanceContext, Balancer
from aurl.loss.balancing.kinds import Fixed
from aurl.loss.kinds import LOSSES, LossContext
from aurl.loss.kl import AddUp, alone
from aurl.loss.likelihood import Likelihood
from aurl.loss.terms import (
    ADVERSARIAL,
    ECHO,
    FEATURE_MATCHING,
    RECONSTRUCTION,
    Bags,
    Deception,
    Divergence,
    Echoes,
    Outcome,
    Term,
    bag_name,
    kl_name,
)
from aurl.loss.weighting import WEIGHTINGS
from aurl.model.latents import Level
from aurl.profile import Profile
from aurl.profile.idle import is_at_least
from aurl.profile.training_sections import Loss
from aurl.tokens.vocabulary import TimeBase


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
        terms: what is computed.
        balancer: how it is added up.

    Attributes:
        weights: name → weight of each cost.
        balancer: how it is added up.
    """

    def __init__(self, terms: Sequence[Term], balancer: Balancer | None = None) -> None:
        self._terms = tuple(terms)
        self.weights = {name: weight for term in terms for name, weight in term.weights.items()}
        self.balancer = balancer or Fixed()

    def reweigh(self, weights: Mapping[str, float]) -> None:
        """Change weights of costs that there are.

        Raises:
            UsageError: a weight names no term.
        """
        if unknown := sorted(set(weights) - set(self.weights)):
            known = ", ".join(self.weights)
            raise UsageError(f"weights of unknown loss terms: {', '.join(unknown)}", hint=f"known: {known}")
        self.weights |= weights

    def __call__(self, outcome: Outcome) -> Losses:
        """Cost of one batch."""
        charges = {name: charge for term in self._terms for name, charge in term(outcome).items()}
        costs = {name: charge.cost for name, charge in charges.items() if name in self.weights}
        total = self.balancer.total(costs, self.weights, outcome)
        return Losses(total, {name: charge.shown for name, charge in charges.items()})


def build_objective(
    profile: Profile, levels: Sequence[Level] = (), *, add_up: AddUp = alone, time_base: TimeBase = "beats"
) -> Objective:
    """The objective that the profile describes.

    Args:
        profile: its `loss` section counts as far as the mode has what it is about.
        levels: of the model's latents; none in mode `transformer`.
        add_up: sums over the processes.
        time_base: of the ids.
    """
    loss = profile.loss
    weighting = WEIGHTINGS.from_component(loss.reconstruction)
    terms: list[Term] = [Likelihood(profile.training.label_smoothing, weighting)]
    if levels:
        free_nats = {level.name: free_bits(loss, level) for level in levels}
        terms.append(Divergence(free_nats, add_up, beta=loss.beta))
        terms += [Bags(levels, weight=loss.bag)] * bool(loss.bag) + [Echoes(weight=loss.echo)] * bool(loss.echo)
    if profile.model.mode == "vae_gan":
        terms.append(Deception(adversarial=loss.adversarial, feature_matching=loss.feature_matching))
    context = LossContext(profile.model.mode, levels, add_up, time_base)
    more = [LOSSES.build(kind, context, **options) for kind, options in loss.terms.items() if has_term(profile, kind)]
    return Objective([*terms, *(term for term in more if any(term.weights.values()))], _balancer(profile, add_up))


def _balancer(profile: Profile, add_up: AddUp) -> Balancer:
    """Weights that the stabiliser of the adversary moves are not moved once more."""
    left = frozenset({ADVERSARIAL, FEATURE_MATCHING} if profile.discriminator.weight_cap else ())
    return BALANCERS.from_component(profile.loss.balancing, BalanceContext(add_up, left))


def has_term(profile: Profile, kind: str) -> bool:
    """Whether the profile's mode has what a term of `kind` is about."""
    return is_at_least(profile.model.mode, LOSSES.mode(kind))


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

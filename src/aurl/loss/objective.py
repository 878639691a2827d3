"""Named terms and their weights → one number to minimise and every part of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from aurl.errors import UsageError
from aurl.loss.reconstruction import cross_entropy_sum, nats
from aurl.profile import Profile

Term = Callable[[Tensor, Tensor], Tensor]
"""(logits (B, T, V), targets (B, T)) → a sum over targets."""
RECONSTRUCTION = "reconstruction"


@dataclass(frozen=True, slots=True)
class Losses:
    """What one batch costs, as sums over its targets.

    Args:
        total: the weighted sum, with gradient.
        nats: unweighted negative log-likelihood, without gradient.
        parts: each term before its weight, without gradient.
    """

    total: Tensor
    nats: Tensor
    parts: dict[str, Tensor]


class Objective:
    """Adds up weighted terms.

    Args:
        terms: name → what it computes.
        weights: name → factor; a weight that names no term is an error, a term without weight is left out.
        likelihood_term: a term that equals the plain likelihood, which is then not computed twice.

    Raises:
        UsageError: a weight names no term.
    """

    def __init__(
        self, terms: Mapping[str, Term], weights: Mapping[str, float], *, likelihood_term: str | None = None
    ) -> None:
        if unknown := sorted(set(weights) - set(terms)):
            raise UsageError(f"weights of unknown loss terms: {', '.join(unknown)}", hint=f"known: {', '.join(terms)}")
        self._terms = {name: terms[name] for name in weights}
        self._weights = dict(weights)
        self._likelihood_term = likelihood_term

    def __call__(self, logits: Tensor, targets: Tensor) -> Losses:
        """Cost of one batch: logits (B, T, V), targets (B, T) with PAD where nothing is predicted."""
        parts = {name: term(logits, targets) for name, term in self._terms.items()}
        total = sum((self._weights[name] * part for name, part in parts.items()), start=logits.new_zeros(()))
        detached = {name: part.detach() for name, part in parts.items()}
        likelihood = detached.get(self._likelihood_term or "")
        return Losses(total, nats(logits, targets) if likelihood is None else likelihood, detached)


def build_objective(profile: Profile) -> Objective:
    """The objective that the profile describes."""
    smoothing = profile.training.label_smoothing
    terms: dict[str, Term] = {
        RECONSTRUCTION: lambda logits, targets: cross_entropy_sum(logits, targets, label_smoothing=smoothing)
    }
    return Objective(terms, {RECONSTRUCTION: 1.0}, likelihood_term=None if smoothing else RECONSTRUCTION)

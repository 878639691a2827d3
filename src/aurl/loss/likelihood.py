"""What it costs to tell the next ids, from one log-softmax for each batch: as it is minimised and as it is reported."""

import torch
from torch import Tensor
from torch.nn.functional import embedding, nll_loss, one_hot

from aurl.loss.reconstruction import token_nats
from aurl.loss.terms import RECONSTRUCTION, Charge, Outcome
from aurl.loss.weighting import KINDS, Weighting, kinds_of_ids
from aurl.tokens.vocabulary import PAD

WEIGHTED = "reconstruction_weighted"


class Likelihood:
    """Cross entropy of the targets.

    Args:
        label_smoothing: share of the probability that is spread over all ids, 0–1.
        weighting: how much each target counts; None: all alike.
    """

    def __init__(self, label_smoothing: float = 0.0, weighting: Weighting | None = None) -> None:
        self.weights = {RECONSTRUCTION: 1.0}
        self._smoothing, self._weighting = label_smoothing, weighting
        self._kinds = one_hot(kinds_of_ids())[:, : len(KINDS)].float()

    def __call__(self, outcome: Outcome) -> dict[str, Charge]:
        """`shown` is the plain negative log-likelihood; what of it each kind of targets costs is only shown."""
        plain = nll_loss(
            outcome.log_probabilities.flatten(0, -2), outcome.targets.flatten(), ignore_index=PAD, reduction="sum"
        )
        if self._weighting is None:
            cost, weighted = self._smoothed(plain, outcome, outcome.targets != PAD), {}
        else:
            soft = self._weighting(outcome.targets, outcome.following)
            exact = soft.cost(outcome.log_probabilities)
            cost = self._smoothed(exact, outcome, soft.weights)
            weighted = {WEIGHTED: Charge(cost, cost.detach())}
        return {RECONSTRUCTION: Charge(cost, plain.detach())} | weighted | self._by_kind(outcome)

    def _smoothed(self, exact: Tensor, outcome: Outcome, weights: Tensor) -> Tensor:
        """As torch does it: the rest is the mean over all ids."""
        if not self._smoothing:
            return exact
        size = outcome.logits.shape[-1]
        everything = -(outcome.log_probabilities.sum(-1) * weights).sum()
        return (1 - self._smoothing) * exact + everything * (self._smoothing / size)

    @torch.no_grad()
    def _by_kind(self, outcome: Outcome) -> dict[str, Charge]:
        """Sums of nats; a product instead of a scattering sum, which is not the same twice on a GPU."""
        if self._kinds.device != outcome.targets.device:
            self._kinds = self._kinds.to(outcome.targets.device)
        nats = token_nats(outcome.log_probabilities, outcome.targets).flatten()
        sums = nats @ embedding(outcome.targets.flatten(), self._kinds)
        return {f"nll_{kind}": Charge(part, part) for kind, part in zip(KINDS, sums, strict=True)}

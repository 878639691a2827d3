"""Learning from what another model expects, not only from what came (Hinton, Vinyals & Dean, 2015)."""

from typing import Annotated

from annotated_types import Gt
from torch import Tensor

from aurl.loss.kinds.registry import LOSSES, LossContext, Weight
from aurl.loss.terms import Charge, Outcome
from aurl.tokens.vocabulary import PAD

DISTILLATION = "distillation"


def softened_divergence(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """KL divergence of a student's distributions from its teacher's, in nats, summed over the targets that are not PAD.

    Both are softened by the temperature; the sum is multiplied by its square, so that gradients are as large at any.

    Args:
        student: (B, T, V) logits, with gradient; half precision is computed in float32.
        teacher: (B, T, V) logits.
        targets: (B, T).
        temperature: what logits are divided by, > 0.
    """
    wanted = (teacher.float() / temperature).log_softmax(-1)
    said = (student.float() / temperature).log_softmax(-1)
    nats = (wanted.exp() * (wanted - said)).sum(-1)  # (B, T)
    return temperature**2 * nats.masked_fill(targets == PAD, 0.0).sum()


class Distillation:
    """How far the model is from its teacher.

    Args:
        weight: of it.
        temperature: what logits are divided by.
    """

    def __init__(self, *, weight: float, temperature: float) -> None:
        self.weights = {DISTILLATION: weight}
        self._temperature = temperature

    def __call__(self, outcome: Outcome) -> dict[str, Charge]:
        """Nothing where nobody teaches."""
        if outcome.teacher is None:
            return {}
        cost = softened_divergence(outcome.logits, outcome.teacher, outcome.targets, self._temperature)
        return {DISTILLATION: Charge(cost, cost.detach())}


@LOSSES.register(DISTILLATION)
def distillation(
    context: LossContext, *, weight: Weight = 1.0, temperature: Annotated[float, Gt(0)] = 2.0
) -> Distillation:
    """What a trained model expects is learned as well as what came (Hinton et al. 2015); needs `training.teacher`.

    Args:
        context: not needed.
        weight: of the KL divergence from the teacher, beside 1 of the likelihood.
        temperature: softens both distributions; above 1, what is unlikely counts for more.
    """
    return Distillation(weight=weight, temperature=temperature)

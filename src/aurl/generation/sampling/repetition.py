"""Ids that were just there are less likely to come again."""

from collections.abc import Collection, Sequence
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from aurl.generation.sampling.groups import IdKind, kind_of
from aurl.generation.sampling.kinds import FILTERS
from aurl.tokens.vocabulary import VOCABULARY_SIZE


class Repetition:
    """Raises the probabilities of ids that were there lately to a power.

    As Keskar et al. (2019) do with scores, here with log-probabilities: logits have no zero of their own, and what is
    certain stays so.

    Args:
        penalty: the power, ≥ 1.
        window: how many ids back.
        kinds: of the ids that it is for.
    """

    def __init__(self, penalty: float, window: int, kinds: Collection[IdKind]) -> None:
        self._penalty, self._window = penalty, window
        self._weighed = frozenset(token for token in range(VOCABULARY_SIZE) if kind_of(token) in kinds)

    def __call__(self, scores: Tensor, histories: Sequence[Sequence[int]]) -> Tensor:
        """New scores."""
        changed = scores.log_softmax(-1)
        rows: list[int] = []
        ids: list[int] = []
        for row, history in enumerate(histories):
            recent = self._weighed.intersection(history[-self._window :])
            rows += [row] * len(recent)
            ids += recent
        changed[rows, ids] *= self._penalty
        return changed


@FILTERS.register("repetition")
def repetition(
    *,
    penalty: Annotated[float, Ge(1)] = 1.2,
    window: Annotated[int, Ge(1)] = 64,
    kinds: tuple[IdKind, ...] = ("note_on",),
) -> Repetition:
    """Pitches that began a moment ago are less likely to begin again (after Keskar et al. 2019).

    Args:
        penalty: power that probabilities are raised to; 1 changes nothing.
        window: how many ids back.
        kinds: of the ids that it is for; notes must end and time must pass as often as it takes.
    """
    return Repetition(penalty, window, kinds)

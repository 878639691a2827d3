"""Runs of pitches that were played often enough do not come again."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from aurl.generation.sampling.kinds import FILTERS
from aurl.tokens.vocabulary import NOTE_ON


class _Played:
    """The pitches of one growing history, each read once.

    Args:
        history: ids of a piece; more may come, those that are there stay.
        size: pitches of a run.
    """

    def __init__(self, history: Sequence[int], size: int) -> None:
        self.history = history
        self._read = 0
        self._last: tuple[int, ...] = ()
        self._lead = size - 1
        self._counts: defaultdict[tuple[int, ...], Counter[int]] = defaultdict(Counter)

    def followers(self) -> Counter[int]:
        """How often each NOTE_ON came after the pitches that were played last."""
        for token in self.history[self._read :]:
            if NOTE_ON.start <= token < NOTE_ON.stop:
                if len(self._last) == self._lead:
                    self._counts[self._last][token] += 1
                self._last = (*self._last, token)[-self._lead :]
        self._read = len(self.history)
        return self._counts.get(self._last, Counter())


class NoRepeat:
    """Forbids NOTE_ONs that end a run which was there often enough.

    It remembers what it read of the histories that it was last called with, by who they are: reading a piece of 8,000
    ids anew for each of its ids took longer than the model.

    Args:
        size: pitches of a run, ≥ 2.
        times: how often it may be played, ≥ 1.
    """

    def __init__(self, size: int, times: int) -> None:
        self._size, self._times = size, times
        self._played: dict[int, _Played] = {}

    def __call__(self, scores: Tensor, histories: Sequence[Sequence[int]]) -> Tensor:
        """New scores."""
        self._played = {id(history): self._of(history) for history in histories}
        worn = [
            (row, token)
            for row, history in enumerate(histories)
            for token, count in self._played[id(history)].followers().items()
            if count >= self._times
        ]
        if not worn:
            return scores
        rows, ids = zip(*worn, strict=True)
        changed = scores.clone()
        changed[list(rows), list(ids)] = -torch.inf
        return changed

    def _of(self, history: Sequence[int]) -> _Played:
        known = self._played.get(id(history))
        return known if known is not None and known.history is history else _Played(history, self._size)


@FILTERS.register("no_repeat")
def no_repeat(*, size: Annotated[int, Ge(2)] = 8, times: Annotated[int, Ge(1)] = 2) -> NoRepeat:
    """No run of pitches is played more than so many times, whatever its rhythm (n-gram control of NOTE_ONs).

    Args:
        size: pitches of a run; those of a chord count from the lowest up.
        times: how often a run may be played; what a prompt plays counts.
    """
    return NoRepeat(size, times)

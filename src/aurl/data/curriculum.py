"""Easy pieces first: kinds of `data.curriculum`.

The share of windows that may be drawn, easiest first, is the competence of Platanios et al. (NAACL 2019):
c(t) = min(1, sqrt(t (1 - c0^2) / T + c0^2)). Here t and T are counted in epochs, and an epoch is one pass over what has
been let in by its end; so a batch depends on nothing but its place.
"""

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Annotated

import numpy as np
from annotated_types import Gt, Le
from numpy.typing import NDArray

from aurl.data.index import Pieces
from aurl.registry import Registry

STAGES = 64
"""How often in an epoch competence is looked at."""


@dataclass(frozen=True)
class Curriculum:
    """When which piece may be drawn.

    Args:
        difficulty: of each piece, in any unit; windows are as difficult as their piece.
        epochs: T, after which everything is in.
        start: c0, the share of windows to begin with.
        first_epoch: the epoch that it begins with.
    """

    difficulty: NDArray[np.float64]
    epochs: float
    start: float
    first_epoch: int = 0

    def competence(self, epochs: float) -> float:
        """Share of the windows that may be drawn after so many epochs."""
        return min(1.0, sqrt(epochs * (1 - self.start**2) / self.epochs + self.start**2))

    def order(self, piece: NDArray[np.int64], epoch: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """The windows of an epoch in random order, each once, none before it is let in.

        Competence is concave, so at any moment at least as many have been let in as are used up by then.

        Args:
            piece: of each window.
            epoch: which, `first_epoch` or later.
            rng: decides the order, also among windows of one difficulty.
        """
        epoch -= self.first_epoch
        shuffled = rng.permutation(len(piece))
        if self.competence(epoch) >= 1:
            return shuffled
        easiest_first = shuffled[np.argsort(self.difficulty[piece[shuffled]], kind="stable")]
        total = ceil(self.competence(epoch + 1) * len(piece))
        waiting, taken, admitted = easiest_first[:0], [], 0
        for stage in range(STAGES):
            begin, end = (total * edge // STAGES for edge in (stage, stage + 1))
            share = self.competence(epoch + stage / STAGES)
            newest = max(ceil(share * len(piece)), end, admitted)
            waiting = rng.permutation(np.concatenate([waiting, easiest_first[admitted:newest]]))
            taken.append(waiting[: end - begin])
            waiting, admitted = waiting[end - begin :], newest
        return np.concatenate(taken)


Epochs = Annotated[float, Gt(0)]
Share = Annotated[float, Gt(0), Le(1)]
CURRICULUM: Registry[Curriculum] = Registry("curriculum")


@CURRICULUM.register("length")
def by_length(pieces: Pieces, *, epochs: Epochs = 2.0, start: Share = 0.1) -> Curriculum:
    """Short pieces first, by their number of tokens.

    Args:
        pieces: of the split.
        epochs: epochs after which all pieces are used.
        start: share of the windows to begin with.
    """
    return Curriculum(pieces.tokens.astype(np.float64), epochs, start)


@CURRICULUM.register("complexity")
def by_complexity(pieces: Pieces, *, epochs: Epochs = 2.0, start: Share = 0.1) -> Curriculum:
    """Simple pieces first, by the complexity score that `prepare` gives each of them.

    Args:
        pieces: of the split.
        epochs: epochs after which all pieces are used.
        start: share of the windows to begin with.
    """
    return Curriculum(pieces.complexity.astype(np.float64), epochs, start)

"""What is augmented: a stretch of a piece with all that its ids alone do not tell."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOT_YET = -1
"""Part or velocity level before the first id that sets one."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A window of a piece.

    Args:
        ids: uint16, the piece's header, then ids of its body.
        header: ids of the header, BOS and SEP among them.
        context: leading ids that are not to be predicted; 1 at the start of a piece.
        start_step: steps from the start of the piece to the first id of the body.
        part: PART in force where the body begins, or `NOT_YET`.
        velocity: VELOCITY level in force there, or `NOT_YET`.
        is_drum: all of it is a drum kit, which ids of a codec without parts do not say (`Maps.is_drum`).
        augmented: it has been varied already.
    """

    ids: NDArray[np.uint16]
    header: int
    context: int
    start_step: int = 0
    part: int = NOT_YET
    velocity: int = NOT_YET
    is_drum: bool = False
    augmented: bool = False

"""MIDI velocity ↔ the six dynamic levels: equal widths over 1–127, so that the levels do not depend on any corpus."""

import numpy as np
from numpy.typing import NDArray

from aurl.tokens.vocabulary import VELOCITY_BINS

MAX_VELOCITY = 127
DEFAULT_BIN = VELOCITY_BINS // 2
"""The level of notes before any VELOCITY id: the one that holds mezzo-forte."""

BIN_OF_VELOCITY: NDArray[np.int64] = (np.arange(256).clip(1, MAX_VELOCITY) - 1) * VELOCITY_BINS // MAX_VELOCITY
"""Level 0–5 of every byte: 1–22, 23–43, 44–64, 65–85, 86–106, 107–127."""
BIN_OF_VELOCITY.flags.writeable = False


def _centres() -> NDArray[np.uint8]:
    levels = [np.flatnonzero(BIN_OF_VELOCITY[1 : MAX_VELOCITY + 1] == level) + 1 for level in range(VELOCITY_BINS)]
    return np.array([(level[0] + level[-1]) // 2 for level in levels], np.uint8)


VELOCITY_OF_BIN = _centres()
"""The middle of each level: 11, 33, 54, 75, 96, 117; at most 11 away from what was played."""
VELOCITY_OF_BIN.flags.writeable = False

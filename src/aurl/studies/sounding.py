"""Which pitch classes sound in spans of time."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aurl.studies.pitch_classes import OCTAVE

NOBODY = np.iinfo(np.int64).max


class Sounding(NamedTuple):
    """What is heard in each of S spans.

    Args:
        classes: `(S, 12)`, how long each pitch class sounds, summed over notes, in the unit of the spans.
        lowest: `(S,)`, the lowest pitch; `NOBODY` where nothing sounds.
    """

    classes: NDArray[np.float64]
    lowest: NDArray[np.int64]


def sounding(onset: NDArray[Any], offset: NDArray[Any], pitch: NDArray[Any], spans: NDArray[Any]) -> Sounding:
    """What is heard of `n` notes between the `S + 1` rising edges `spans`; all but pitch in one unit."""
    count = len(spans) - 1
    first = np.maximum(spans.searchsorted(onset, side="right") - 1, 0)
    reach = np.maximum(np.minimum(spans.searchsorted(offset, side="left"), count) - first, 0)
    note = np.repeat(np.arange(len(onset)), reach)
    span = first[note] + np.arange(len(note)) - (reach.cumsum() - reach)[note]
    overlap = np.minimum(offset[note], spans[span + 1]) - np.maximum(onset[note], spans[span])
    heard = pitch[note].astype(np.int64)
    where = OCTAVE * span + heard % OCTAVE
    classes = np.bincount(where, weights=overlap, minlength=OCTAVE * count).reshape(count, OCTAVE)
    lowest = np.full(count, NOBODY)
    np.minimum.at(lowest, span[overlap > 0], heard[overlap > 0])
    return Sounding(classes.astype(np.float64, copy=False), lowest)

"""Styles: what one label says of the pieces, as numbers that a model is told."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aurl.data.dataset import DatasetInfo
from aurl.errors import UsageError
from aurl.model.prior.conditions import UNKNOWN

FEWEST_PIECES = 5
"""Of fewer pieces a prior would learn the pieces, not what they have in common."""


def styles_of(data: DatasetInfo, label: str) -> tuple[str, ...]:
    """The values of a label that enough pieces of the train split have, sorted.

    Raises:
        UsageError: there is none.
    """
    known = data.labels("train")
    counts = Counter(labels[label] for labels in known if label in labels)
    if not counts:
        there = sorted({name for labels in known for name in labels})
        raise UsageError(
            f"latent.style = {label!r}, but no piece of {data.folder} has this label",
            hint=f"labels that there are: {', '.join(there)}" if there else 'prepare with labels: "{composer}/*"',
        )
    styles = tuple(sorted(style for style, pieces in counts.items() if pieces >= FEWEST_PIECES))
    if not styles:
        raise UsageError(
            f"latent.style = {label!r}, but no {label} has {FEWEST_PIECES} pieces in the train split of {data.folder}",
            hint="choose a label whose values are shared by more pieces",
        )
    return styles


def style_numbers(data: DatasetInfo, split: str, label: str, styles: Sequence[str]) -> NDArray[np.int64]:
    """`(pieces,)`: the place of each piece's style in `styles`, or `UNKNOWN`."""
    places = {style: place for place, style in enumerate(styles)}
    return np.array([places.get(labels.get(label, ""), UNKNOWN) for labels in data.labels(split)], np.int64)

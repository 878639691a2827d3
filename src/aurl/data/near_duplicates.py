"""Place holder until the room is written: to be overwritten."""

import numpy as np
from numpy.typing import NDArray


def group(fingerprints: NDArray[np.uint32], *, threshold: float) -> NDArray[np.int64]:
    """To be overwritten."""
    return np.arange(len(fingerprints))

"""Codes whose factors are known, as an encoder might have found them."""

import numpy as np

from aurl.latent.codes import Codes, LevelCodes


def known_codes(mean, numbers, labels=None, *, pieces=40) -> Codes:
    """One global latent for each window; windows follow each other piece by piece.

    Args:
        mean: (N, D).
        numbers: factor → (N,).
        labels: label → N words.
        pieces: that windows are of.
    """
    count = len(mean)
    level = LevelCodes(
        np.asarray(mean, np.float32), np.full(mean.shape, -2.0, np.float32), np.arange(count), numbers, [""] * count
    )
    piece = np.arange(count) * pieces // count
    sources = [f"<{number}>.mid" for number in piece]
    return Codes("run", "step-1", "valid", {"global": level}, piece, sources, np.full(count, np.nan), labels or {})

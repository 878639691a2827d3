"""An augmentation whose outcome tells what it was given: chance, epoch, and all that a passage says."""

from dataclasses import replace

import numpy as np

from aurl.augment.passage import Passage

GROWTH = 9


def marked(passage: Passage, rng: np.random.Generator, epoch: int) -> Passage:
    """Notes moved by chance and epoch, and more ids at the end than before."""
    ids = passage.ids.copy()
    body = ids[passage.header :]
    body[body < 128] = (body[body < 128] + rng.integers(128) + epoch) % 128
    return replace(passage, ids=np.append(ids, np.full(GROWTH, 60, np.uint16)))

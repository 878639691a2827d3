"""Variety on the fly: each kind maps a passage of ids to another that is as good as music."""

from aurl.augment import humanise, instruments, stretch, swing, transpose, velocity
from aurl.augment.augmenter import Augmenter
from aurl.augment.passage import NOT_YET, Passage
from aurl.augment.registry import AUGMENT, Augmentation

__all__ = [
    "AUGMENT",
    "NOT_YET",
    "Augmentation",
    "Augmenter",
    "Passage",
    "humanise",
    "instruments",
    "stretch",
    "swing",
    "transpose",
    "velocity",
]

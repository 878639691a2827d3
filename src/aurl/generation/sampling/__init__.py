"""From logits to ids."""

from aurl.generation.sampling import eta, kind_temperature, no_repeat, repetition, typical
from aurl.generation.sampling.kinds import FILTERS, Filter

__all__ = [
    "FILTERS",
    "Filter",
    "eta",
    "kind_temperature",
    "no_repeat",
    "repetition",
    "typical",
]

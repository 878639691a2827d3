"""From logits to ids."""

from aurl.generation.sampling.kinds import FILTERS, Filter

__all__ = ["FILTERS", "Filter"]

"""The registry of attention kinds; importing it registers them all."""

from aurl.model.attention import full, hierarchical, multi_scale, sliding_window
from aurl.model.attention.kinds import ATTENTION, AttentionKind, LayerCache

__all__ = ["ATTENTION", "AttentionKind", "LayerCache", "full", "hierarchical", "multi_scale", "sliding_window"]

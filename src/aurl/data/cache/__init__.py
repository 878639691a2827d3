"""Finished shards, kept by content, so that no data set encodes what another one has encoded already."""

from aurl.data.cache.result import CacheCheck, CacheStats, Damage, Merged, RecipeStats, Trimmed
from aurl.data.cache.store import TokenCache

__all__ = ["CacheCheck", "CacheStats", "Damage", "Merged", "RecipeStats", "TokenCache", "Trimmed"]

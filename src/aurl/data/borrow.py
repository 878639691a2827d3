"""What other data sets have finished, taken from the token cache and not encoded again.

A shard of which enough is wanted is taken whole, by a link. Of others the workers copy the wanted pieces alone.
"""

import logging
from collections.abc import Collection
from pathlib import Path

from aurl.data.cache import TokenCache
from aurl.data.cache.shelf import NOT_SHARED
from aurl.data.manifest import SHARDS
from aurl.data.plan import WORTH_KEEPING
from aurl.data.shards import Shard
from aurl.errors import AurlError, DamagedError, LockedError

logger = logging.getLogger(__name__)


def borrow(cache: TokenCache, signature: str, missing: Collection[bytes], folder: Path) -> dict[bytes, str]:
    """Take over what the cache has of the missing contents.

    Args:
        cache: asked for shards of the recipe `signature`.
        signature: of the recipe.
        missing: SHA-256 of contents that the data set in `folder` does not have.
        folder: gets the shards that are worth having whole, as if an earlier run had left them.

    Returns:
        Content → path of a cached shard to copy it from, for those that came with no whole shard.
    """
    try:
        return _borrow(cache, signature, missing, folder)
    except AurlError as error:
        logger.warning("the token cache is of no help: %s", error.message)
        return {}


def _borrow(cache: TokenCache, signature: str, missing: Collection[bytes], folder: Path) -> dict[bytes, str]:
    found = cache.find(signature, missing)
    taken: set[bytes] = set()
    copied: dict[bytes, str] = {}
    for name in sorted(found, key=lambda name: (-len(found[name]), name)):
        fresh = found[name] - taken
        if not fresh:
            continue
        if len(fresh) >= WORTH_KEEPING * _contents(cache.path(name)):
            taken |= found[name] if cache.fetch(name, folder / SHARDS) else set()
        else:
            copied.update(dict.fromkeys(fresh - copied.keys(), str(cache.path(name))))
    return {sha256: path for sha256, path in copied.items() if sha256 not in taken}


def _contents(path: Path) -> float:
    """Contents of the shard; infinitely many where nobody may want it whole.

    That is a shard that cannot be read, and one with rejections that another run might not make.
    """
    try:
        records = list(Shard(path).records())
    except DamagedError:
        return float("inf")
    if any(record.reason in NOT_SHARED for record in records):
        return float("inf")
    return sum(not record.segment for record in records)


def put_away(cache: TokenCache, paths: Collection[Path]) -> None:
    """Put finished shards into the cache, and bring it back to its size; what goes wrong costs only the cache."""
    for path in paths:
        try:
            cache.add(path)
        except AurlError as error:
            logger.warning("not in the token cache: %s", error.message)
    try:
        cache.trim()
    except LockedError:
        logger.debug("another process is trimming the token cache")
    except AurlError as error:
        logger.warning("the token cache was not trimmed: %s", error.message)

"""What is found in a cache and what was done to it, for whoever shows it."""

from dataclasses import dataclass
from pathlib import Path

from aurl.errors import AurlError


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not as it was written.

    Args:
        path: the file.
        fault: in a few words.
        mended: what was done about it; empty: nothing.
    """

    path: Path
    fault: str
    mended: str = ""


def fault_in(path: Path, error: AurlError) -> str:
    """What an error says of a file, without the file's path, which is told beside it."""
    return error.message.removeprefix(f"{path} ").removeprefix("is damaged: ")


@dataclass(frozen=True, slots=True)
class RecipeStats:
    """Shards that were made in the same way.

    Args:
        signature: of the recipe.
        shards: their number.
        bytes: their size.
        contents: files in them.
        used_at: seconds since 1970 by the wall clock when one was last used; for show only.
    """

    signature: str
    shards: int
    bytes: int
    contents: int
    used_at: float


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache holds.

    Args:
        folder: of the cache.
        max_bytes: size to which it is trimmed.
        own_shards: shards that only the cache has.
        own_bytes: their size; what counts against `max_bytes`.
        shared_shards: shards that data sets have, too: they cost nothing, and removing them frees nothing.
        shared_bytes: their size.
        recipes: the same by recipe, last used first.
    """

    folder: Path
    max_bytes: int
    own_shards: int
    own_bytes: int
    shared_shards: int
    shared_bytes: int
    recipes: tuple[RecipeStats, ...]


@dataclass(frozen=True, slots=True)
class Trimmed:
    """Shards that were removed, and the bytes that this freed."""

    shards: int
    bytes: int


@dataclass(frozen=True, slots=True)
class CacheCheck:
    """How many cached shards were read from end to end, and what was wrong."""

    shards: int
    damage: tuple[Damage, ...]


@dataclass(frozen=True, slots=True)
class Merged:
    """What was taken in from another folder.

    Args:
        folder: the other one.
        added: shards that were taken in.
        known: shards that were here already.
        damage: shards that were passed over.
    """

    folder: Path
    added: int
    known: int
    damage: tuple[Damage, ...]

"""The cached shards on disk."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from aurl.data.cache.index import Facts
from aurl.data.manifest import SHARDS
from aurl.data.records import COSTLY
from aurl.data.shards import SUFFIX, Shard
from aurl.errors import DamagedError
from aurl.midi.reasons import RejectReason
from aurl.storage import link_or_copy

NOT_SHARED = (*COSTLY, RejectReason.TOO_LARGE)
"""Rejections that depend on the limits of the run: another data set may have others."""
PINNED_LINKS = 2
"""Names that a file has when a data set holds it, too."""
_NAME = re.compile(r"[0-9a-f]{16,64}")


def is_name(name: str) -> bool:
    """Whether a shard can be called so; what comes from an index or a file name must not lead out of the folder."""
    return _NAME.fullmatch(name) is not None


def facts_of(path: Path) -> Facts:
    """Signature and contents of a shard, which is read from end to end.

    What was rejected for its cost or size is not counted as a content.

    Raises:
        DamagedError: it is not whole.
    """
    shard = Shard(path)
    shard.verify()
    try:
        contents = (bytes.fromhex(record.sha256) for record in shard.records() if record.reason not in NOT_SHARED)
        return Facts(shard.signature, frozenset(contents))
    except (TypeError, ValueError) as error:
        raise DamagedError(f"{path} is damaged: a record without a checksum ({error})") from error


def is_whole_shard(path: Path) -> bool:
    """Whether a shard is there, and as it was written."""
    try:
        Shard(path).verify()
    except DamagedError:
        return False
    return True


class Shelf:
    """The folder of cached shards.

    Args:
        folder: of the cache; made if need be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / SHARDS
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Where the shard is, if it is here."""
        return self.folder / f"{name}{SUFFIX}"

    def paths(self) -> list[Path]:
        """All shards, in order of name."""
        return [path for path in sorted(self.folder.glob(f"[!.]*{SUFFIX}")) if is_name(path.stem)]

    def sizes(self) -> dict[str, tuple[int, bool]]:
        """Shard → its bytes, and whether a data set holds it, too."""
        found = {}
        for path in self.paths():
            status = path.stat()
            found[path.stem] = (status.st_size, status.st_nlink >= PINNED_LINKS)
        return found

    def put(self, path: Path) -> None:
        """Take in a shard under its name."""
        link_or_copy(path, self.path(path.stem))

    def remove(self, name: str) -> None:
        """Remove a shard, if it is here."""
        self.path(name).unlink(missing_ok=True)


def whole_shards(shelf: Shelf) -> Iterator[tuple[Path, Facts]]:
    """The whole shards of a folder, the oldest first; the others are passed over."""
    for path in sorted(shelf.paths(), key=lambda path: path.stat().st_mtime_ns):
        with suppress(DamagedError):
            yield path, facts_of(path)

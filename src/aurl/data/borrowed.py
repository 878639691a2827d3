"""Pieces that another data set's run has finished, as a worker copies them."""

import logging
from pathlib import Path

from aurl.data.records import Record
from aurl.data.shards import Piece, Shard
from aurl.errors import DamagedError
from aurl.midi.reasons import Rejected, RejectReason

logger = logging.getLogger(__name__)


class Borrowed:
    """Pieces in finished shards, by content: what one worker has looked up for one task.

    Attributes:
        count: files whose pieces were found.
    """

    def __init__(self) -> None:
        self.count = 0
        self._shards: dict[str, tuple[Shard, dict[str, list[int]]] | None] = {}

    def pieces(self, path: str, sha256: str, source: str) -> list[Piece]:
        """The pieces of a content, as if they had been encoded from the file `source` just now.

        Args:
            path: of the shard; empty if none is known.
            sha256: of the file, hexadecimal.
            source: path of the file.

        Returns:
            Nothing if the shard is gone or damaged, or does not hold it.

        Raises:
            Rejected: the content was looked at, and cannot be used.
        """
        if not path:
            return []
        if path not in self._shards:
            self._shards[path] = _opened(path)
        opened = self._shards[path]
        if opened is None or sha256 not in opened[1]:
            return []
        self.count += 1
        shard, rows = opened[0], opened[1][sha256]
        first = shard.record(rows[0])
        if first.reason:
            raise Rejected(RejectReason(first.reason), first.fault, name=source)
        prints = shard.fingerprints
        return [Piece(shard.piece(row), _moved(shard.record(row), source), prints[row]) for row in rows]


def _moved(record: Record, source: str) -> Record:
    return record._replace(source=source)


def _opened(path: str) -> tuple[Shard, dict[str, list[int]]] | None:
    """A shard and the rows of each content in it."""
    try:
        shard = Shard(Path(path))
        shard.verify()
        rows: dict[str, list[int]] = {}
        for row, record in enumerate(shard.records()):
            rows.setdefault(record.sha256, []).append(row)
    except DamagedError as error:
        logger.warning("%s; its files are encoded again", error.message)
        return None
    return shard, rows

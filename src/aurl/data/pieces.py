"""The pieces of one split, straight from the mapped shards."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aurl.data.index import Index, Pieces
from aurl.data.manifest import read_manifest, shard_path
from aurl.data.records import Record
from aurl.data.shards import Ids, Shard
from aurl.data.splits import SPLIT_NAMES
from aurl.errors import UsageError
from aurl.tokens.codec import Codec

OPEN_SHARDS = 256
"""Shards that stay open; each takes a file descriptor, of which a process often has no more than 1,024."""
RESIDENT_BYTES = 2**26
"""Of shards that were read since their pages were last given back: mapped pages count as memory of the process."""
Cut = tuple[NDArray[np.int64], int]
"""Where to begin in each of some pieces, and how many ids to take."""


class PieceReader:
    """Pieces of one split, by number.

    What it holds in memory are a few numbers for each piece; ids stay on disk.

    Args:
        folder: of the data set.
        split: "train", "valid" or "test".

    Attributes:
        columns: where each piece is, and its sizes.
        codec: what made the ids.

    Raises:
        NotFoundError, DamagedError: as `open_dataset`; reading a piece raises DamagedError if its shard is damaged.
    """

    def __init__(self, folder: Path, split: str) -> None:
        if split not in SPLIT_NAMES:
            raise UsageError(f"there is no split {split!r}", hint=f"known: {', '.join(SPLIT_NAMES)}")
        self.folder = folder
        self.split = split
        manifest = read_manifest(folder)
        self.codec = Codec.from_signature(manifest.codec)
        with Index.load(folder, manifest) as index:
            self.columns: Pieces = index.pieces(split)
        self._open: dict[int, Shard] = {}
        self._touched: set[int] = set()

    def __len__(self) -> int:
        return len(self.columns.row)

    def piece(self, number: int) -> Ids:
        """Ids of a piece, BOS to EOS: a read-only view of the file."""
        return self._shard(number).piece(self.columns.row.item(number))

    def cut(self, piece: NDArray[np.int64], *cuts: Cut) -> list[Ids]:
        """For each cut (pieces, length): the ids of each piece from its own begin on.

        What is beyond the end of a piece means nothing.
        """
        shard, row = self.columns.shard[piece], self.columns.row[piece]
        order = np.argsort(shard)
        edges = [0, *(1 + np.flatnonzero(np.diff(shard[order]))).tolist(), len(order)]
        found: list[Ids] = [np.empty((len(piece), length), np.uint16) for _, length in cuts]
        for some in (order[begin:stop] for begin, stop in pairwise(edges)):
            opened = self._opened(int(shard[some[0]]))
            offset = opened.offsets[row[some]]
            for (begin, length), ids in zip(cuts, found, strict=True):
                ids[some] = _cut(opened.ids, offset + begin[some], length)
        return found

    def header(self, number: int) -> int:
        """Ids of a piece's header."""
        return self.columns.header.item(number)

    def record(self, number: int) -> Record:
        """What is known about a piece."""
        return self._shard(number).record(self.columns.row.item(number))

    def _shard(self, number: int) -> Shard:
        return self._opened(self.columns.shard.item(number))

    def _opened(self, position: int) -> Shard:
        shard = self._open.get(position)
        if shard is None:
            shard = Shard(shard_path(self.folder, self.columns.shards[position]))
            if len(self._open) == OPEN_SHARDS:
                self._open.pop(next(iter(self._open)))
            self._open[position] = shard
        if position not in self._touched:
            if sum(self._open[one].bytes for one in self._touched if one in self._open) > RESIDENT_BYTES:
                self._let_go()
            self._touched.add(position)
        return shard

    def _let_go(self) -> None:
        """Give back the pages of all shards that were read."""
        for shard in map(self._open.get, self._touched):
            if shard is not None:
                shard.let_go()
        self._touched.clear()

    def __getstate__(self) -> dict[str, Any]:
        """Maps do not travel to other processes; they are opened there again."""
        return self.__dict__ | {"_open": {}, "_touched": set()}


def _cut(ids: Ids, begin: NDArray[np.int64], length: int) -> Ids:
    """(begins, length): `ids` from each begin on; what is beyond their end means nothing."""
    last = len(ids) - length
    if last < 0:
        return _cut(np.append(ids, np.zeros(-last, np.uint16)), begin, length)
    # Every place is a row of a view whose rows overlap; numpy checks that it does not reach beyond the ids.
    rows = np.ndarray((last + 1, length), ids.dtype, ids.data, strides=(ids.itemsize, ids.itemsize))
    found: Ids = rows[np.minimum(begin, last)]
    if (late := begin > last).any():
        for row in np.flatnonzero(late).tolist():
            rest = ids[begin[row] :]
            found[row, : len(rest)] = rest
    return found

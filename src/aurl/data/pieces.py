"""The pieces of one split, straight from the mapped shards."""

from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aurl.data.index import Index, Pieces
from aurl.data.manifest import read_manifest, shard_path
from aurl.data.records import Record
from aurl.data.shards import Ids, Shard
from aurl.data.splits import SPLIT_NAMES
from aurl.errors import UsageError
from aurl.tokens.codec import Codec

OPEN_SHARDS = 16
"""Shards that stay mapped. Mapped pages count as memory of the process; a shard that is let go of gives them back."""


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
        self._open: OrderedDict[int, Shard] = OrderedDict()

    def __len__(self) -> int:
        return len(self.columns.row)

    def piece(self, number: int) -> Ids:
        """Ids of a piece, BOS to EOS: a read-only view of the file."""
        return self._shard(number).piece(self.columns.row.item(number))

    def find(self, piece: NDArray[np.int64]) -> "Found":
        """Where many pieces are."""
        shard, row = self.columns.shard[piece], self.columns.row[piece]
        order = np.argsort(shard)
        edges = [0, *(1 + np.flatnonzero(np.diff(shard[order]))).tolist(), len(order)]
        groups = []
        for some in (order[begin:stop] for begin, stop in pairwise(edges)):
            opened = self._opened(int(shard[some[0]]))
            groups.append((some, opened.ids, opened.offsets[row[some]]))
        return Found(len(piece), groups)

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
            self._open[position] = shard
            if len(self._open) > OPEN_SHARDS:
                self._open.popitem(last=False)
        else:
            self._open.move_to_end(position)
        return shard

    def __getstate__(self) -> dict[str, Any]:
        """Maps do not travel to other processes; they are opened there again."""
        return self.__dict__ | {"_open": OrderedDict()}


class Found(NamedTuple):
    """Where some pieces are.

    Args:
        pieces: how many.
        groups: for each shard which of them, the shard's ids, and where in those they begin.
    """

    pieces: int
    groups: list[tuple[NDArray[np.int64], Ids, NDArray[np.int64]]]

    def cut(self, begin: NDArray[np.int64], length: int) -> Ids:
        """(pieces, length): ids of each from its own `begin` on; what is beyond the end of a piece means nothing."""
        found = np.empty((self.pieces, length), np.uint16)
        for some, ids, offset in self.groups:
            found[some] = _cut(ids, offset + begin[some], length)
        return found


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

"""The pieces of one split, straight from the mapped shards."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

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
        return self._shard(number).piece(int(self.columns.row[number]))

    def header(self, number: int) -> int:
        """Ids of a piece's header."""
        return int(self.columns.header[number])

    def record(self, number: int) -> Record:
        """What is known about a piece."""
        return self._shard(number).record(int(self.columns.row[number]))

    def _shard(self, number: int) -> Shard:
        position = int(self.columns.shard[number])
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

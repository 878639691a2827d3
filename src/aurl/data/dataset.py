"""A prepared data set as music models read it: pieces and windows of ids, straight from the mapped shards."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aurl.data.index import Index, Pieces
from aurl.data.manifest import Manifest, read_manifest, shard_path
from aurl.data.records import Record
from aurl.data.shards import Ids, Shard
from aurl.data.splits import SPLIT_NAMES
from aurl.data.windows import Tiling, Window, Windows
from aurl.errors import UsageError
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import TIME_SHIFT

OPEN_SHARDS = 16
"""Shards that stay mapped. Mapped pages count as memory of the process; a shard that is let go of gives them back."""


class SplitSize(NamedTuple):
    """What one split holds."""

    pieces: int
    tokens: int
    notes: int


@dataclass(frozen=True)
class DatasetInfo:
    """An existing data set.

    Args:
        folder: where it is.
        manifest: what it consists of.
        codec: what made its ids.
        splits: split → size.
    """

    folder: Path
    manifest: Manifest
    codec: Codec
    splits: dict[str, SplitSize]

    def pieces(self, split: str) -> Iterator[Ids]:
        """Ids of the pieces of a split, one after the other, in the data set's order."""
        reader = PieceReader(self.folder, split)
        return (reader.piece(number) for number in range(len(reader)))

    def records(self, split: str) -> Iterator[Record]:
        """Records of the pieces of a split, in the same order."""
        reader = PieceReader(self.folder, split)
        return (reader.record(number) for number in range(len(reader)))


def open_dataset(folder: Path) -> DatasetInfo:
    """Look at a data set without reading its ids.

    Raises:
        NotFoundError: there is none.
        DamagedError: it cannot be read, or was made by another version.
    """
    manifest = read_manifest(folder)
    with Index.load(folder, manifest) as index:
        found = {split: index.pieces(split) for split in SPLIT_NAMES}
    sizes: dict[str, SplitSize] = {
        split: SplitSize(len(pieces.row), int(pieces.tokens.sum()), int(pieces.notes.sum()))
        for split, pieces in found.items()
    }
    return DatasetInfo(folder, manifest, Codec.from_signature(manifest.codec), sizes)


class PieceReader:
    """Pieces of one split, by number.

    What it holds in memory are a few numbers for each piece; ids stay on disk.

    Args:
        folder: of the data set.
        split: "train", "valid" or "test".

    Raises:
        NotFoundError, DamagedError: as `open_dataset`; reading a piece raises DamagedError if its shard is damaged.
    """

    def __init__(self, folder: Path, split: str) -> None:
        if split not in SPLIT_NAMES:
            raise UsageError(f"there is no split {split!r}", hint=f"known: {', '.join(SPLIT_NAMES)}")
        self.folder = folder
        self.split = split
        with Index.load(folder, read_manifest(folder)) as index:
            self.columns: Pieces = index.pieces(split)
        self._open: OrderedDict[str, Shard] = OrderedDict()

    def __len__(self) -> int:
        return len(self.columns.row)

    def piece(self, number: int) -> Ids:
        """Ids of a piece, BOS to EOS: a read-only view of the file."""
        return self._shard(number).piece(int(self.columns.row[number]))

    def record(self, number: int) -> Record:
        """What is known about a piece."""
        return self._shard(number).record(int(self.columns.row[number]))

    def _shard(self, number: int) -> Shard:
        name = self.columns.shards[self.columns.shard[number]]
        shard = self._open.pop(name, None) or Shard(shard_path(self.folder, name))
        self._open[name] = shard
        if len(self._open) > OPEN_SHARDS:
            self._open.popitem(last=False)
        return shard

    def __getstate__(self) -> dict[str, Any]:
        """Maps do not travel to other processes; they are opened there again."""
        return self.__dict__ | {"_open": OrderedDict()}


class Item(NamedTuple):
    """One training example.

    Args:
        ids: at most seq_len + 1; of a window inside a piece, the piece's header comes first.
        start_step: time before the first id of the body, in steps.
        context: leading ids that are not to be predicted (BOS alone at the start of a piece).
    """

    ids: Ids
    start_step: int
    context: int


class TokenDataset:
    """Windows of one split.

    An integer index is one of the windows that cover every target once, in order, always the same; a `Window` is read
    as it is, so that a sampler can draw others in each epoch without telling the loader's processes.

    Args:
        folder: of the data set.
        split: "train", "valid" or "test".
        seq_len: targets in one window at most.
        context: ids before the first target of a window inside a piece; more than 1 overlaps windows.

    Raises:
        UsageError: the split does not exist, or a header leaves no room in `seq_len`.
    """

    def __init__(self, folder: Path, split: str, *, seq_len: int, context: int = 1) -> None:
        self.pieces = PieceReader(folder, split)
        self.seq_len = seq_len
        columns = self.pieces.columns
        try:
            self.tiling = Tiling(columns.tokens, columns.header, seq_len=seq_len, context=context)
        except ValueError as error:
            raise UsageError(str(error), hint="choose a larger data.seq_len") from error

    @cached_property
    def windows(self) -> Windows:
        """The windows that integer indices stand for."""
        return self.tiling.tile()

    def __len__(self) -> int:
        return len(self.windows)

    def piece(self, number: int) -> Ids:
        """Ids of a whole piece."""
        return self.pieces.piece(number)

    def __getitem__(self, index: int | Window) -> Item:
        window = index if isinstance(index, Window) else self.windows.at(index)
        ids = self.pieces.piece(window.piece)
        if window.first == 1:
            return Item(ids[: window.stop], 0, 1)
        header = int(self.pieces.columns.header[window.piece])
        begin = window.first - self.tiling.context
        parts = np.concatenate([ids[:header], ids[begin : window.stop]])
        return Item(parts, elapsed_steps(ids[header:begin]), header + self.tiling.context)


def elapsed_steps(ids: Ids) -> int:
    """Steps that the TIME_SHIFTs among `ids` add up to."""
    shifts = ids[(ids >= TIME_SHIFT.start) & (ids < TIME_SHIFT.stop)]
    return int(shifts.sum(dtype=np.int64)) - len(shifts) * (TIME_SHIFT.start - 1)

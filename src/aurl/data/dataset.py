"""A prepared data set as music models read it: windows of ids, straight from the mapped shards."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aurl.augment.passage import Passage
from aurl.controls.told import Controls
from aurl.data.hybrid import HybridView, hybrid_view
from aurl.data.index import Index
from aurl.data.landmarks import Landmarks, elapsed_in_rows
from aurl.data.manifest import Manifest, read_manifest
from aurl.data.pieces import PieceReader
from aurl.data.records import Record
from aurl.data.shards import Ids
from aurl.data.splits import SPLIT_NAMES
from aurl.data.truncation import SLIDING, Truncation, settle
from aurl.data.windows import Tiling, Window, Windows, joined
from aurl.errors import UsageError
from aurl.tokens.codec import Codec
from aurl.tokens.positions import bar_length
from aurl.tokens.vocabulary import PAD

TELLING = 1
"""Purpose of the random numbers that decide what of a window is told."""
MIN_IDS = 2
"""One input and one target: models take no empty sequences."""
Augment = Callable[[Passage, np.random.Generator, int], Passage]
"""(a window, its chance, the epoch) → what is learned from instead."""


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

    def labels(self, split: str) -> list[dict[str, str]]:
        """Labels of the pieces of a split (composer, genre, …), in the same order."""
        with Index.load(self.folder, self.manifest) as index:
            return index.labels(split)


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


class Rows(NamedTuple):
    """Examples stacked, as numpy arrays.

    Args:
        ids: (B, T + 1) int64, padded with PAD behind the end, T ≥ 1.
        start_steps: (B,) int64, time before the first id of the body, in steps.
        context: (B,) int64, leading ids that are not to be predicted.
        hybrid: what else a model may see of them, None where it is not asked for.
        style: (B,) int64, number of the style of each one's piece, None where pieces have none.
        augmented: (B,) bool, which of them were varied, None where none ever is.
    """

    ids: NDArray[np.int64]
    start_steps: NDArray[np.int64]
    context: NDArray[np.int64]
    hybrid: HybridView | None = None
    style: NDArray[np.int64] | None = None
    augmented: NDArray[np.bool_] | None = None


Place = tuple[int, Ids, int, int, int]
"""Of an example: piece, its ids, how many of them lead as header, and the first and the end of those that follow."""


class TokenDataset:
    """Windows of one split.

    An integer index is one of the windows that are always the same, in order; a `Window` is read as it is, so that a
    sampler can draw others in each epoch without telling the loader's processes.

    Args:
        folder: of the data set.
        split: "train", "valid" or "test".
        seq_len: targets in one window at most.
        context: ids before the first target of a window inside a piece; more than 1 overlaps windows.
        truncation: how pieces are cut into windows.
        augment: what is done to windows that were drawn; they are cut to `seq_len` afterwards.
        controls: what windows tell beside the music; room for it is kept free in each.
        hybrid: make the hybrid view of every batch.
        styles: (pieces,) int64, number of the style of each piece of the split.

    Raises:
        UsageError: the split does not exist, or a header leaves no room in `seq_len`.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        *,
        seq_len: int,
        context: int = 1,
        truncation: Truncation = SLIDING,
        augment: Augment | None = None,
        controls: Controls | None = None,
        hybrid: bool = False,
        styles: NDArray[np.int64] | None = None,
    ) -> None:
        self.pieces = PieceReader(folder, split)
        self.seq_len = seq_len if controls is None else seq_len - controls.room
        self._truncation, self._augment, self._hybrid = truncation, augment, hybrid
        self._controls = controls
        self._styles = styles
        columns, margin = self.pieces.columns, truncation.margin
        try:
            self.tiling = Tiling(columns.tokens, columns.header, seq_len=self.seq_len, context=context, margin=margin)
        except ValueError as error:
            raise UsageError(str(error), hint="choose a larger data.seq_len") from error
        self._landmarks = Landmarks(columns.tokens, columns.header)

    @cached_property
    def windows(self) -> Windows:
        """The windows that integer indices stand for."""
        return self._truncation.tile(self.tiling)

    def draw(self, rng: np.random.Generator) -> Windows:
        """Windows of one epoch."""
        return self._truncation.draw(self.tiling, rng)

    def __len__(self) -> int:
        return len(self.windows)

    def piece(self, number: int) -> Ids:
        """Ids of a whole piece."""
        return self.pieces.piece(number)

    def __getitem__(self, index: int | Window) -> Passage:
        window = self._window(index)
        piece, ids, header, begin, stop = self._place(window)
        if window.first == 1:
            passage = Passage(ids[:stop], header, 1)
        else:
            parts = np.concatenate([ids[:header], ids[begin:stop]])
            running = self._landmarks.running(piece, ids, begin)
            passage = Passage(parts, header, header + self.tiling.context, *running)
        if self._controls is None and (self._augment is None or window.draw is None):
            return passage
        passage = replace(passage, is_drum=self.pieces.columns.drums.item(piece))
        if self._augment is not None and window.draw is not None:
            changed = self._augment(passage, window.draw.rng(), window.draw.epoch)
            passage = replace(changed, ids=changed.ids[: self.seq_len + 1], augmented=changed is not passage)
        if self._controls is None:
            return passage
        return self._controls(passage, None if window.draw is None else window.draw.rng(TELLING))

    def __getitems__(self, windows: Windows | Sequence[int | Window]) -> Rows:
        """Several examples as one batch, which is what a torch loader asks for where it can."""
        if not self._is_single:
            together = windows if isinstance(windows, Windows) else Windows.of(map(self._window, windows))
            return next(self.batches([together]))
        single = [self._window(window) for window in windows]
        passages = [self[window] for window in single]
        rows = stack(passages)._replace(style=self._style([window.piece for window in single]))
        if self._augment is not None:
            rows = rows._replace(augmented=np.array([passage.augmented for passage in passages]))
        if not self._hybrid:
            return rows
        return rows._replace(hybrid=hybrid_view(passages, rows.ids, time_base=self.pieces.codec.time_base))

    def batches(self, batches: Sequence[Windows]) -> Iterator[Rows]:
        """Several batches in one go, which is faster for small ones."""
        if self._is_single:
            yield from map(self.__getitems__, batches)
            return
        ids, start_steps, context, length = self._gather(joined(batches))
        edges = np.cumsum([0, *map(len, batches)])
        longest_of_all = np.maximum(np.maximum.reduceat(length, edges[:-1]), MIN_IDS)
        spans = zip(batches, pairwise(edges.tolist()), longest_of_all.tolist(), strict=True)
        for windows, (begin, stop), longest in spans:
            rows = Rows(ids[begin:stop, :longest].astype(np.int64), start_steps[begin:stop], context[begin:stop])
            yield rows._replace(style=self._style(windows.piece))

    @property
    def _is_single(self) -> bool:
        """Windows are read one by one."""
        return self._augment is not None or self._controls is not None or self._hybrid

    def _style(self, pieces: ArrayLike) -> NDArray[np.int64] | None:
        """Numbers of the styles of pieces."""
        return None if self._styles is None else self._styles[np.asarray(pieces)]

    def _gather(
        self, windows: Windows
    ) -> tuple[NDArray[np.uint16], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Ids with padding, steps before the body, context, and number of ids of many windows."""
        windows = self._settled_all(windows) if self._truncation.margin else windows
        piece, first, stop = windows.piece, windows.first, windows.stop
        inside = first > 1
        header = np.where(inside, self.pieces.columns.header[piece], 0)
        begin = np.where(inside, first - self.tiling.context, 0)
        length = header + stop - begin
        known_steps, known = self._landmarks.nearest(self.pieces, piece, begin)
        rest = np.maximum(begin - known, 0)
        ids, heads, rests = self.pieces.cut(
            piece,
            # The body is cut out together with what stands before it, and so is where it belongs behind the header.
            (begin - header, max(MIN_IDS, int(length.max()))),
            (np.zeros_like(begin), int(header.max())),
            (known, int(rest.max())),
        )
        column = np.arange(heads.shape[1])
        np.copyto(ids[:, : len(column)], heads, where=column < header[:, None])
        for row in np.flatnonzero(length < ids.shape[1]).tolist():
            ids[row, length[row] :] = PAD
        start_steps = known_steps + elapsed_in_rows(rests, rest)
        return ids, start_steps, np.where(inside, header + self.tiling.context, 1), length

    def _settled_all(self, windows: Windows) -> Windows:
        places = [self._place(window) for window in windows]
        inside = windows.first > 1
        begin, stop = (np.array([place[field] for place in places]) for field in (3, 4))
        return Windows(windows.piece, np.where(inside, begin + self.tiling.context, 1), stop)

    def _window(self, index: int | Window) -> Window:
        return index if isinstance(index, Window) else self.windows.at(index)

    def _place(self, window: Window) -> Place:
        piece, first, stop, _ = window
        ids, header = self.pieces.piece(piece), self.pieces.header(piece)
        if self._truncation.margin and (margin := int(self.tiling.margin[piece])):
            first, stop = (self._settled(piece, ids, boundary, margin) for boundary in (first, stop))
        if first == 1:
            header = min(header, stop)
            return piece, ids, header, header, stop
        return piece, ids, header, first - self.tiling.context, stop

    def _settled(self, piece: int, ids: Ids, boundary: int, margin: int) -> int:
        """Where music begins near a boundary between two windows; the ends of the piece stay where they are."""
        header, low = self.pieces.header(piece), boundary - margin - 1
        if low < header or boundary >= len(ids):
            return boundary
        bar_steps = int(bar_length(ids[:header])) if self.pieces.codec.time_base == "beats" else None
        start = self._landmarks.step(piece, ids, low)
        around = ids[low : boundary + margin + 1]
        return low + settle(around, start_step=start, boundary=boundary - low, bar_steps=bar_steps)


def stack(passages: Sequence[Passage]) -> Rows:
    """Examples of different lengths as one batch."""
    ids = _blank(len(passages), max(len(passage.ids) for passage in passages))
    for row, passage in zip(ids, passages, strict=True):
        row[: len(passage.ids)] = passage.ids
    start_steps, context = zip(*((passage.start_step, passage.context) for passage in passages), strict=True)
    return Rows(ids, np.array(start_steps, np.int64), np.array(context, np.int64))


def _blank(rows: int, longest: int) -> NDArray[np.int64]:
    return np.full((rows, max(MIN_IDS, longest)), PAD, np.int64)

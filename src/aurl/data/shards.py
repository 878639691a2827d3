"""Token shards: pieces back to back in one safetensors file, their records with them, written at once or not at all.

The header carries a checksum of all tensors. Shards are written without waiting for the disk (`prepare` does that
beside the work), so after the death of the machine a shard that no manifest names may have lost its content.

Tensors of a shard of n pieces and m records (m - n of them of rejected files):

| name | type | shape | holds |
|---|---|---|---|
| ids | uint16 | (tokens,) | all pieces, one after the other |
| offsets | int64 | (n + 1,) | where each piece begins in `ids` |
| records | uint8 | (bytes,) | JSON lines: those of the n pieces in their order, then the rejected |
| record_offsets | int64 | (m + 1,) | where each line begins in `records` |
| pitches | int64 | (128,) | notes of each pitch |
| velocities | int64 | (6,) | notes of each velocity level |
| fingerprints | uint32 | (n · size,) | of the piece's file: near-duplicates have alike ones |
"""

import hashlib
import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aurl.data.fingerprint import FINGERPRINT_SIZE
from aurl.data.records import Record
from aurl.errors import DamagedError
from aurl.storage import write_bytes
from aurl.tokens.velocity import DEFAULT_BIN
from aurl.tokens.vocabulary import NOTE_ON, VELOCITY, VELOCITY_BINS

SUFFIX = ".safetensors"
METADATA_KEY = "aurl"
MAX_HEADER_BYTES = 2**16
_LENGTH_BYTES = 8
_HISTOGRAM_PIECES = 16
_DTYPES: dict[str, np.dtype[Any]] = {
    "ids": np.dtype("<u2"),
    "offsets": np.dtype("<i8"),
    "records": np.dtype("u1"),
    "record_offsets": np.dtype("<i8"),
    "pitches": np.dtype("<i8"),
    "velocities": np.dtype("<i8"),
    "fingerprints": np.dtype("<u4"),
}
_TYPE_NAMES = {np.dtype("<u2"): "U16", np.dtype("<i8"): "I64", np.dtype("<u4"): "U32", np.dtype("u1"): "U8"}

Ids = NDArray[np.uint16]
Fingerprint = NDArray[np.uint32]
NO_IDS: Ids = np.empty(0, np.uint16)
NO_FINGERPRINTS: Fingerprint = np.empty(0, np.uint32)


class Piece(NamedTuple):
    """What a shard holds of one piece."""

    ids: Ids
    record: Record
    fingerprint: Fingerprint


def write_shard(path: Path, pieces: Sequence[Piece], rejected: Sequence[Record], signature: str) -> str:
    """Write a shard atomically.

    Args:
        path: where.
        pieces: that were prepared.
        rejected: records of files that could not be used.
        signature: what the ids depend on beside the files; kept as metadata.

    Returns:
        SHA-256 of the file's bytes, hexadecimal.
    """
    ids = np.concatenate([NO_IDS, *(piece.ids for piece in pieces)])
    lines = [record.to_line() + b"\n" for record in (*(piece.record for piece in pieces), *rejected)]
    pitches, velocities = _histograms([piece.ids for piece in pieces])
    tensors = {
        "offsets": _offsets([len(piece.ids) for piece in pieces]),
        "record_offsets": _offsets([len(line) for line in lines]),
        "pitches": pitches,
        "velocities": velocities,
        "fingerprints": np.concatenate([NO_FINGERPRINTS, *(piece.fingerprint for piece in pieces)]),
        "ids": ids,
        "records": np.frombuffer(b"".join(lines), np.uint8),
    }
    content = _safetensors(tensors, signature)
    write_bytes(path, content, durable=False)
    return hashlib.sha256(content).hexdigest()


def _safetensors(tensors: Mapping[str, NDArray[Any]], signature: str) -> bytes:
    """The file, with a checksum of its tensors in the header; widest types first, so that all are aligned."""
    body = b"".join(tensor.astype(_DTYPES[name], copy=False).data for name, tensor in tensors.items())
    facts = json.dumps({"signature": signature, "sha256": hashlib.sha256(body).hexdigest()})
    header: dict[str, Any] = {"__metadata__": {METADATA_KEY: facts}}
    stop = 0
    for name, tensor in tensors.items():
        start, stop = stop, stop + tensor.size * _DTYPES[name].itemsize
        header[name] = {"dtype": _TYPE_NAMES[_DTYPES[name]], "shape": [tensor.size], "data_offsets": [start, stop]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH_BYTES)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text + body


def _offsets(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.cumsum([0, *lengths], dtype=np.int64)


def _histograms(pieces: Sequence[Ids]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`note_histograms` of all pieces, some at a time: three times faster while what is worked on is in the cache."""
    pitches, velocities = np.zeros(NOTE_ON.size, np.int64), np.zeros(VELOCITY_BINS, np.int64)
    for start in range(0, len(pieces), _HISTOGRAM_PIECES):
        found = note_histograms(np.concatenate(pieces[start : start + _HISTOGRAM_PIECES]))
        pitches += found[0]
        velocities += found[1]
    return pitches, velocities


def note_histograms(ids: Ids) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Notes of each pitch (128,) and of each velocity level (6,) in whole pieces, one or several."""
    is_event = (ids < NOTE_ON.stop) | ((ids >= VELOCITY.start) & (ids < VELOCITY.stop))
    events = ids[np.flatnonzero(is_event)]
    at = np.flatnonzero(events >= VELOCITY.start)
    # A level holds until the next one: the notes at it are what stands between the two.
    levels = np.append(DEFAULT_BIN, events[at].astype(np.int64) - VELOCITY.start)
    notes = np.diff(at, prepend=-1, append=len(events)) - 1
    velocities = np.bincount(levels, weights=notes, minlength=VELOCITY_BINS).astype(np.int64)
    return np.bincount(events, minlength=NOTE_ON.size)[: NOTE_ON.size], velocities


class Shard:
    """A shard, memory-mapped; every number in its header is checked before it is used.

    Args:
        path: the file.

    Attributes:
        ids, offsets, pitches, velocities: as in the module's table, read-only views of the file.
        signature: as given to `write_shard`.
        bytes: size of the file.

    Raises:
        DamagedError: the file is missing or is not a whole shard.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise self._damaged(str(error)) from error
        self.bytes = len(self._map)
        header, start = self._header()
        self._body_start = start
        tensors = {name: self._tensor(header.get(name), dtype, start) for name, dtype in _DTYPES.items()}
        self.ids, self.offsets = tensors["ids"], tensors["offsets"]
        self.pitches, self.velocities = tensors["pitches"], tensors["velocities"]
        self._records, self._record_offsets = tensors["records"], tensors["record_offsets"]
        self._fingerprints = tensors["fingerprints"]
        self.signature, self._sha256 = self._facts(header)
        self._check_shape()

    def __len__(self) -> int:
        """Pieces, without the rejected."""
        return len(self.offsets) - 1

    def piece(self, row: int) -> Ids:
        """Ids of one piece, a view."""
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    @property
    def fingerprints(self) -> Fingerprint:
        """(pieces, FINGERPRINT_SIZE), a view."""
        return self._fingerprints.reshape(-1, FINGERPRINT_SIZE)

    def record(self, row: int) -> Record:
        """Record of one piece; rows from `len` on are rejected files."""
        start, stop = self._record_offsets[row : row + 2]
        return Record.from_line(self._records[start:stop].tobytes())

    @property
    def record_count(self) -> int:
        """Records, those of rejected files among them."""
        return len(self._record_offsets) - 1

    def records(self) -> Iterator[Record]:
        """All records, those of the pieces first, in order of row."""
        return (self.record(row) for row in range(self.record_count))

    def let_go(self) -> None:
        """Give the pages that were read back to the system; what is read again comes back by itself."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def verify(self) -> None:
        """Compare every byte of the tensors with the checksum.

        Raises:
            DamagedError: they differ.
        """
        with memoryview(self._map) as view:
            if hashlib.sha256(view[self._body_start :]).hexdigest() != self._sha256:
                raise self._damaged("its content does not match its checksum")

    def _damaged(self, fault: str) -> DamagedError:
        return DamagedError(f"{self.path} is damaged: {fault}", hint="prepare the data set again: aurl prepare PATH…")

    def _header(self) -> tuple[dict[str, Any], int]:
        """The JSON header, and where the tensors begin."""
        length = int.from_bytes(self._map[:_LENGTH_BYTES], "little")
        start = _LENGTH_BYTES + length
        if length > MAX_HEADER_BYTES or start > self.bytes:
            raise self._damaged(f"a header of {length} bytes")
        try:
            header = json.loads(self._map[_LENGTH_BYTES:start])
        except (ValueError, RecursionError) as error:
            raise self._damaged(f"its header is not JSON ({error})") from error
        if not isinstance(header, dict):
            raise self._damaged("its header is not a table")
        return header, start

    def _tensor(self, entry: Any, dtype: np.dtype[Any], start: int) -> NDArray[Any]:
        try:
            (count,), (begin, end) = entry["shape"], entry["data_offsets"]
            known = entry["dtype"] == _TYPE_NAMES[dtype] and all(type(value) is int for value in (count, begin, end))
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(f"a tensor is described wrongly ({error!r})") from error
        if not known or not 0 <= begin <= end <= self.bytes - start or end - begin != count * dtype.itemsize:
            raise self._damaged(f"a tensor reaches outside the file or has another type: {entry}")
        return np.frombuffer(self._map, dtype, count, start + begin)

    def _facts(self, header: dict[str, Any]) -> tuple[str, str]:
        """Signature and checksum."""
        try:
            facts = json.loads(header["__metadata__"][METADATA_KEY])
            return str(facts["signature"]), str(facts["sha256"])
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise self._damaged(f"it does not say what it is ({error!r})") from error

    def _check_shape(self) -> None:
        for offsets, content in ((self.offsets, self.ids), (self._record_offsets, self._records)):
            if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(content) or (np.diff(offsets) < 0).any():
                raise self._damaged("its offsets do not fit its content")
        if len(self._record_offsets) < len(self.offsets) or len(self.pitches) != NOTE_ON.size:
            raise self._damaged("records or histograms are missing")
        if len(self._fingerprints) != len(self) * FINGERPRINT_SIZE:
            raise self._damaged("its fingerprints are not one for each piece")
        if len(self.velocities) != VELOCITY_BINS:
            raise self._damaged("its velocity histogram has another length")

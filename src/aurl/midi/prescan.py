"""A bounded look at the bytes before anything parses them: header, chunks, and how many events they hold.

What is wrong with the container is repaired here, so that all that follows sees a plain file: `MThd`, then `MTrk`
chunks whose lengths are true.
"""

import struct
from collections import Counter
from dataclasses import dataclass, field

from aurl.midi.reasons import Rejected, RejectReason
from aurl.midi.skim import Irregular, Skim, skim

MAX_BYTES = 16 * 2**20
MAX_TRACKS = 4096
MAX_LEADING_BYTES = 512
"""How far into a file the header is looked for: MacBinary puts 128 bytes before it."""

_HEADER = struct.Struct(">4sIHHH")
_CHUNK_HEADER_BYTES = 8
_MIN_HEADER_LENGTH = 6
_SMPTE_FLAG = 0x8000
_END_OF_TRACK = b"\xff\x2f\x00"


@dataclass(frozen=True, slots=True)
class Prescan:
    """A file that may be parsed.

    Args:
        data: a plain file: header and `MTrk` chunks, nothing else.
        ticks_per_beat: 1–32767.
        chunks: (start, stop) of the events of each track in `data`.
        skim: what the bytes hold; None where they do not follow the grammar and have to be walked one by one.
        repairs: repair name → how often.
    """

    data: bytes
    ticks_per_beat: int
    chunks: list[tuple[int, int]]
    skim: Skim | None
    repairs: Counter[str] = field(default_factory=Counter)

    @property
    def suspicious(self) -> bool:
        """A library might misread the file or be hurt by it."""
        return self.skim is None or bool(self.skim.doubt)


def prescan(data: bytes, *, max_bytes: int = MAX_BYTES) -> Prescan:
    """Check the container and bound what it holds, in time and memory linear in its size.

    Raises:
        Rejected: the file cannot be used; `.reason` says why.
    """
    if not data:
        raise Rejected(RejectReason.EMPTY, "the file is empty")
    if len(data) > max_bytes:
        raise Rejected(RejectReason.TOO_LARGE, f"{len(data)} bytes, more than {max_bytes}")
    repairs: Counter[str] = Counter()
    data = _unwrapped(data, repairs)
    first_chunk, kind, declared_tracks, ticks_per_beat = _header(data)
    found = _chunks(data, first_chunk, repairs)
    if len(found) > MAX_TRACKS:
        raise Rejected(RejectReason.TOO_MANY_TRACKS, f"{len(found)} tracks, more than {MAX_TRACKS}")
    if declared_tracks and not found:
        raise Rejected(RejectReason.TRUNCATED, f"none of its {declared_tracks} tracks is there")
    if len(found) < declared_tracks:
        repairs["missing_tracks"] += declared_tracks - len(found)
    if kind == 0 and len(found) > 1:
        repairs["format_0_tracks"] += 1
    if not _is_plain(data, found, declared_tracks):
        data, found = _rebuilt(data, found, ticks_per_beat)
    return Prescan(data, ticks_per_beat, found, _skimmed(data, found), repairs)


def _skimmed(data: bytes, chunks: list[tuple[int, int]]) -> Skim | None:
    try:
        return skim(data, chunks)
    except Irregular:
        return None


def _unwrapped(data: bytes, repairs: Counter[str]) -> bytes:
    """The MIDI file itself, taken out of a RIFF container or from behind foreign bytes."""
    if data[:4] == b"RIFF" and data[8:12] == b"RMID":
        data = _riff_payload(data)
    at = data.find(b"MThd", 0, MAX_LEADING_BYTES + 4)
    if at < 0:
        raise Rejected(RejectReason.NOT_MIDI, "no MThd header")
    if at:
        repairs["leading_bytes"] += 1
    return data[at:]


def _riff_payload(data: bytes) -> bytes:
    at = 12
    while at + _CHUNK_HEADER_BYTES <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if kind == b"data":
            return data[at + _CHUNK_HEADER_BYTES : at + _CHUNK_HEADER_BYTES + size]
        at += _CHUNK_HEADER_BYTES + size + size % 2
    raise Rejected(RejectReason.NOT_MIDI, "a RIFF file without MIDI data in it")


def _header(data: bytes) -> tuple[int, int, int, int]:
    """(where the chunks start, format, declared tracks, ticks per beat)."""
    if len(data) < _HEADER.size:
        raise Rejected(RejectReason.TRUNCATED, f"only {len(data)} bytes, less than a header")
    _, length, kind, tracks, division = _HEADER.unpack_from(data)
    if length < _MIN_HEADER_LENGTH:
        raise Rejected(RejectReason.NOT_MIDI, f"a header of {length} bytes")
    if kind == 2:
        raise Rejected(RejectReason.FORMAT_2, "format 2 (independent patterns)")
    if kind > 2:
        raise Rejected(RejectReason.UNKNOWN_FORMAT, f"format {kind}")
    if division & _SMPTE_FLAG:
        raise Rejected(RejectReason.SMPTE, f"SMPTE time division ({256 - (division >> 8)} frames per second)")
    if not division:
        raise Rejected(RejectReason.BAD_DIVISION, "a resolution of 0 ticks per beat")
    return _CHUNK_HEADER_BYTES + length, kind, tracks, division


def _chunks(data: bytes, at: int, repairs: Counter[str]) -> list[tuple[int, int]]:
    """(start, stop) of each track's events; wrong lengths are set right where the next `MTrk` shows how."""
    found, size = [], len(data)
    while at + _CHUNK_HEADER_BYTES <= size:
        kind, start = data[at : at + 4], at + _CHUNK_HEADER_BYTES
        stop = start + int.from_bytes(data[at + 4 : start], "big")
        if kind == b"MTrk":
            stop = _true_stop(data, start, stop, repairs)
            found.append((start, stop))
        elif stop > size or not kind.isalnum():
            stop = data.find(b"MTrk", at + 1)
            repairs["foreign_bytes"] += 1
            if stop < 0:
                break
        at = stop
    else:
        if at < size:
            repairs["foreign_bytes"] += 1
    return found


def _true_stop(data: bytes, start: int, stop: int, repairs: Counter[str]) -> int:
    size = len(data)
    if stop == size or data[stop : stop + 4] == b"MTrk":
        return stop
    following = data.find(b"MTrk", start)
    if stop > size:
        repairs["truncated_track" if following < 0 else "chunk_length"] += 1
        return size if following < 0 else following
    if data[stop : stop + 4].isalnum() or data[max(stop - 3, start) : stop] == _END_OF_TRACK:
        return stop
    repairs["chunk_length"] += 1
    return size if following < 0 else following


def _is_plain(data: bytes, chunks: list[tuple[int, int]], declared_tracks: int) -> bool:
    expected = _HEADER.size
    for start, stop in chunks:
        if start != expected + _CHUNK_HEADER_BYTES or stop - start != int.from_bytes(data[start - 4 : start], "big"):
            return False
        expected = stop
    return expected == len(data) and declared_tracks == len(chunks)


def _rebuilt(data: bytes, chunks: list[tuple[int, int]], ticks_per_beat: int) -> tuple[bytes, list[tuple[int, int]]]:
    parts, moved, at = [_HEADER.pack(b"MThd", 6, 1, len(chunks), ticks_per_beat)], [], _HEADER.size
    for start, stop in chunks:
        parts.append(struct.pack(">4sI", b"MTrk", stop - start) + data[start:stop])
        moved.append((at + _CHUNK_HEADER_BYTES, at + _CHUNK_HEADER_BYTES + stop - start))
        at = moved[-1][1]
    return b"".join(parts), moved

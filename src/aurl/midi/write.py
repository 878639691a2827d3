"""Score → bytes of a Standard MIDI File (format 1): the same score always gives the same bytes.

One conductor chunk (tempo, meter, key, markers), then one chunk for each track. Every message is written with its
status byte, so that readers that mistake running status still read it.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aurl.errors import AurlError
from aurl.midi.score import DRUM_CHANNEL, Ints, Score, Text, Track
from aurl.storage import atomic_write

MELODIC_CHANNELS = tuple(channel for channel in range(16) if channel != DRUM_CHANNEL)
MAX_TICK = 2**31 - 1
MAX_DELTA = 2**28 - 1
"""The longest pause that four bytes of a variable-length quantity can say."""
MAX_TEMPO = 2**24 - 1
RELEASE_VELOCITY = 64
CLOCKS_PER_WHOLE_NOTE = 96

TRACK_NAME, LYRIC, MARKER, TEXT = 0x03, 0x05, 0x06, 0x01
PORT, END_OF_TRACK, TEMPO, TIME_SIGNATURE, KEY_SIGNATURE = 0x21, 0x2F, 0x51, 0x58, 0x59

SETUP, CONTROL, OFF, EMPTY_ON, EMPTY_OFF, ON = range(6)
"""Order of messages at one tick: notes end before others begin, and an empty note begins before it ends."""


@dataclass(frozen=True, slots=True)
class _Messages:
    """Messages of one kind: `tick`, place within the tick, and where in `pool` their bytes are."""

    tick: Ints
    rank: int
    length: Ints
    pool: NDArray[np.uint8]


def write_midi(score: Score) -> bytes:
    """The score as a MIDI file of format 1.

    A score whose tracks hold no overlapping notes of one pitch is read back as it was, apart from tracks without notes.

    Raises:
        AurlError: a tick, tempo, meter or key does not fit the format.
    """
    chunks = [_chunk(_conductor(score))]
    for track, (channel, port) in zip(score.tracks, channels(score.tracks), strict=True):
        chunks.append(_chunk(_track(track, channel, port)))
    if not 0 < score.ticks_per_beat < 2**15:
        raise AurlError(f"{score.ticks_per_beat} ticks per beat cannot be written (1 to 32767)")
    return struct.pack(">4sIHHH", b"MThd", 6, 1, len(chunks), score.ticks_per_beat) + b"".join(chunks)


def save_midi(score: Score, path: Path) -> None:
    """Write the score to `path`; the file appears whole or not at all."""
    data = write_midi(score)
    with atomic_write(path) as stream:
        stream.write(data)


def channels(tracks: Sequence[Track]) -> list[tuple[int, int]]:
    """(channel, port) of each track.

    Drums share channel 10. Up to 15 melodic tracks have a channel each; beyond that, tracks of one program share one,
    and a sixteenth program goes to channel 1 of the next port.
    """
    melodic = [index for index, track in enumerate(tracks) if not track.is_drum]
    keys = {i: i if len(melodic) <= len(MELODIC_CHANNELS) else tracks[i].program for i in melodic}
    slots = {key: slot for slot, key in enumerate(dict.fromkeys(keys.values()))}
    ports_and_slots = {i: divmod(slots[key], len(MELODIC_CHANNELS)) for i, key in keys.items()}
    result = [(DRUM_CHANNEL, 0)] * len(tracks)
    for index, (port, slot) in ports_and_slots.items():
        result[index] = (MELODIC_CHANNELS[slot], port)
    return result


def _conductor(score: Score) -> list[_Messages]:
    tempos, meters, keys = score.tempos, score.time_signatures, score.key_signatures
    return [
        _variable(meters.tick, [_meter(n, d) for n, d in zip(meters.numerator, meters.denominator, strict=True)]),
        _variable(keys.tick, [_key(f, m) for f, m in zip(keys.fifths, keys.minor, strict=True)]),
        _variable(tempos.tick, [_tempo(microseconds) for microseconds in tempos.microseconds_per_beat]),
        _texts(MARKER, score.markers),
    ]


def _track(track: Track, channel: int, port: int) -> list[_Messages]:
    setup = [_meta(PORT, bytes([port]))] if port else []
    if track.name:
        setup.append(_meta(TRACK_NAME, _encode(track.name)))
    if not track.is_drum:
        setup.append(bytes([0xC0 | channel, track.program]))
    notes, controls = track.notes, track.controls
    empty = notes.duration == 0
    lasting, struck = notes.take(~empty), notes.take(empty)
    release = np.full(len(notes), RELEASE_VELOCITY)
    return [
        _variable(np.zeros(len(setup), np.int64), setup),
        _texts(LYRIC, track.lyrics),
        _fixed(CONTROL, controls.tick, 0xB0 | channel, controls.number, controls.value),
        _fixed(OFF, lasting.offset, 0x80 | channel, lasting.pitch, release[~empty]),
        _fixed(EMPTY_ON, struck.onset, 0x90 | channel, struck.pitch, struck.velocity),
        _fixed(EMPTY_OFF, struck.onset, 0x80 | channel, struck.pitch, release[empty]),
        _fixed(ON, lasting.onset, 0x90 | channel, lasting.pitch, lasting.velocity),
    ]


def _fixed(rank: int, tick: Ints, status: int, first: NDArray[np.uint8], second: NDArray[np.generic]) -> _Messages:
    pool = np.empty((len(tick), 3), np.uint8)
    pool[:, 0], pool[:, 1], pool[:, 2] = status, first, second
    return _Messages(tick, rank, np.full(len(tick), 3), pool.reshape(-1))


def _variable(tick: Iterable[int], messages: Sequence[bytes]) -> _Messages:
    lengths = np.array([len(message) for message in messages], np.int64)
    pool = np.frombuffer(b"".join(messages), np.uint8)
    return _Messages(np.asarray(tick, np.int64), SETUP, lengths, pool)


def _texts(kind: int, texts: Sequence[Text]) -> _Messages:
    return _variable([text.tick for text in texts], [_meta(kind, _encode(text.text)) for text in texts])


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _meta(kind: int, payload: bytes) -> bytes:
    return bytes([0xFF, kind]) + _quantity(len(payload)) + payload


def _quantity(value: int) -> bytes:
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return bytes(reversed(groups))


def _tempo(microseconds: int) -> bytes:
    if not 0 < microseconds <= MAX_TEMPO:
        raise AurlError(f"a tempo of {microseconds} µs per beat cannot be written (1 to {MAX_TEMPO})")
    return _meta(TEMPO, int(microseconds).to_bytes(3, "big"))


def _meter(numerator: int, denominator: int) -> bytes:
    power = int(denominator).bit_length() - 1
    if not (0 < numerator < 256 and denominator == 1 << power):
        raise AurlError(f"a meter of {numerator}/{denominator} cannot be written")
    return _meta(TIME_SIGNATURE, bytes([numerator, power, max(CLOCKS_PER_WHOLE_NOTE // int(denominator), 1), 8]))


def _key(fifths: int, minor: bool) -> bytes:
    if not -7 <= fifths <= 7:
        raise AurlError(f"a key of {fifths} fifths cannot be written (-7 to 7)")
    return _meta(KEY_SIGNATURE, struct.pack("bB", fifths, int(minor)))


def _chunk(groups: Iterable[_Messages]) -> bytes:
    groups = [group for group in groups if len(group.tick)]
    if not groups:
        return _framed(b"")
    tick = np.concatenate([group.tick for group in groups])
    if tick.min() < 0 or tick.max() > MAX_TICK:
        raise AurlError(f"ticks from {tick.min()} to {tick.max()} cannot be written (0 to {MAX_TICK})")
    groups = groups + _fillers(tick)
    tick = np.concatenate([group.tick for group in groups])
    rank = np.repeat([group.rank for group in groups], [len(group.tick) for group in groups])
    length = np.concatenate([group.length for group in groups])
    start = np.cumsum(length) - length
    order = np.lexsort((rank, tick))
    pool = np.concatenate([group.pool for group in groups])
    return _framed(_interleave(np.diff(tick[order], prepend=0), start[order], length[order], pool))


def _fillers(tick: Ints) -> list[_Messages]:
    """Empty texts in pauses too long for one variable-length quantity."""
    ordered = np.sort(tick)
    gaps = np.diff(ordered, prepend=0)
    ticks = [
        t
        for i in np.flatnonzero(gaps > MAX_DELTA)
        for t in range(ordered[i] - MAX_DELTA, ordered[i] - gaps[i], -MAX_DELTA)
    ]
    return [_variable(ticks, [_meta(TEXT, b"")] * len(ticks))] if ticks else []


def _interleave(delta: Ints, start: Ints, length: Ints, pool: NDArray[np.uint8]) -> bytes:
    """Each message after its delta time; `delta` < 2^28."""
    width = 1 + (delta >= 1 << 7) + (delta >= 1 << 14) + (delta >= 1 << 21)
    end = np.cumsum(width + length)
    data = np.empty(end[-1], np.uint8)
    last = end - length - 1
    for group in range(4):
        some = width > group
        data[last[some] - group] = delta[some] >> 7 * group & 0x7F | (0x80 if group else 0)
    within = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    data[np.repeat(last + 1, length) + within] = pool[np.repeat(start, length) + within]
    return data.tobytes()


def _framed(body: bytes) -> bytes:
    body += b"\x00" + _meta(END_OF_TRACK, b"")
    return struct.pack(">4sI", b"MTrk", len(body)) + body

"""Standard MIDI Files byte by byte, with every fault that a test may want, by no code of ours."""

import struct
from collections.abc import Sequence

END = bytes.fromhex("00ff2f00")


def quantity(value: int) -> bytes:
    """A variable-length quantity."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def chunk(body: bytes, *, kind: bytes = b"MTrk", length: int | None = None) -> bytes:
    """A chunk; `length` tells a lie about it."""
    return kind + struct.pack(">I", len(body) if length is None else length) + body


def header(tracks: int, *, kind: int = 1, division: int = 480) -> bytes:
    return chunk(struct.pack(">HHH", kind, tracks, division), kind=b"MThd")


def midi(*bodies: bytes | str, kind: int = 1, division: int = 480, tracks: int | None = None) -> bytes:
    """A file of track bodies (bytes or hexadecimal), each with its end of track added."""
    chunks = [chunk((bytes.fromhex(body) if isinstance(body, str) else body) + END) for body in bodies]
    return header(len(chunks) if tracks is None else tracks, kind=kind, division=division) + b"".join(chunks)


def timed(messages: Sequence[tuple[int, bytes]]) -> bytes:
    """A track body of (absolute tick, message)."""
    body, now = b"", 0
    for tick, message in messages:
        body += quantity(tick - now) + message
        now = tick
    return body

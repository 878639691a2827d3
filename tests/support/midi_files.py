"""Small Standard MIDI Files, byte by byte, by no code of ours."""

import os
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def length(value: int) -> bytes:
    """A variable-length quantity."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", len(body)) + body


def smf(notes: Sequence[tuple[int, int, int, int]], *, bpm: float = 120.0, program: int = 0, meter=(4, 2)) -> bytes:
    """A format-0 file of (onset, duration, pitch, velocity) notes, 480 ticks a beat; meter (6, 3) is 6/8."""
    events = [
        (0, 0, b"\xff\x51\x03" + round(60e6 / bpm).to_bytes(3, "big")),
        (0, 0, b"\xff\x58\x04" + bytes([*meter, 24, 8])),
    ]
    events.append((0, 0, bytes([0xC0, program])))
    for onset, duration, pitch, velocity in notes:
        events.append((onset, 2, bytes([0x90, pitch, velocity])))
        events.append((onset + duration, 1, bytes([0x80, pitch, 0])))
    events.sort(key=lambda event: event[:2])
    body, now = b"", 0
    for tick, _, event in events:
        body += length(tick - now) + event
        now = tick
    body += b"\x00\xff\x2f\x00"
    return chunk(b"MThd", struct.pack(">HHH", 0, 1, 480)) + chunk(b"MTrk", body)


def tune(seed: int, *, notes: int | None = None) -> bytes:
    """A tune of its own for every seed."""
    rng = np.random.default_rng(seed)
    count = notes or int(rng.integers(5, 120))
    onsets = np.cumsum(rng.integers(1, 5, count) * 120)
    pitches, velocities = rng.integers(40, 90, count), rng.integers(30, 120, count)
    rows = [(int(o), 110, int(p), int(v)) for o, p, v in zip(onsets, pitches, velocities, strict=True)]
    return smf(rows, bpm=float(rng.integers(60, 180)), program=int(rng.integers(0, 128)))


def write_tunes(folder: Path, count: int, *, first: int = 0, subfolders: int = 3) -> list[Path]:
    """Files `tune-000.mid` … in a few subfolders, old enough for their times to be believed."""
    paths = []
    for seed in range(first, first + count):
        path = folder / f"part-{seed % subfolders}" / f"tune-{seed:03}.mid"
        path.parent.mkdir(parents=True, exist_ok=True)
        paths.append(write_file(path, tune(seed)))
    return paths


def write_file(path: Path, content: bytes) -> Path:
    """Write a file with a time long past."""
    path.write_bytes(content)
    os.utime(path, (1_600_000_000, 1_600_000_000))
    return path

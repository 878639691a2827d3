"""Archives as nobody should write them, byte by byte, and the same by Python's own modules."""

import io
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

OLD = 1_600_000_000
"""A time long past, in seconds."""


class Entry(NamedTuple):
    """One member of a zip, each field as it is to be written; None where the truth is to be."""

    name: bytes
    data: bytes = b""
    method: int = 0
    flags: int = 0
    size: int | None = None
    crc: int | None = None
    offset: int | None = None
    mode: int = 0
    extra: bytes = b""


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def raw_zip(entries: Iterable[Entry], *, before: bytes = b"", shift_offsets: bool = False) -> bytes:
    """A zip whose entries say what they are told to; `before` stands in front of it."""
    body, directory, count = bytearray(), bytearray(), 0
    for entry in entries:
        packed = deflated(entry.data) if entry.method == 8 else entry.data
        crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
        size = len(entry.data) if entry.size is None else entry.size
        offset = len(body) if entry.offset is None else entry.offset
        facts = (20, entry.flags, entry.method, 0, 0, crc, len(packed), size, len(entry.name))
        directory += struct.pack("<4sH", b"PK\1\2", 3 << 8)
        directory += struct.pack("<5H3L", *facts[:8]) + struct.pack("<H", facts[8])
        directory += struct.pack("<4H2L", len(entry.extra), 0, 0, 0, entry.mode << 16, offset)
        directory += entry.name + entry.extra
        body += struct.pack("<4s5H3L2H", b"PK\3\4", *facts, 0) + entry.name + packed
        count += 1
    end = struct.pack(
        "<4s4H2LH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, len(directory), len(body) + shift_offsets, 0
    )
    return before + bytes(body) + bytes(directory) + end


def zip_of(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip as Python writes it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def tar_of(members: Mapping[str, bytes], mode: str = "w", format: int = tarfile.GNU_FORMAT) -> bytes:  # noqa: A002
    """A tar as Python writes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=format) as archive:
        for name, data in members.items():
            add(archive, name, data)
    return out.getvalue()


def add(archive: tarfile.TarFile, name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    archive.addfile(info, io.BytesIO(data))


def write_old(path: Path, content: bytes) -> Path:
    """Write a file with a time long past."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (OLD, OLD))
    return path

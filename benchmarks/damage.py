"""Damaged libraries: real MIDI files, written music and archives, each harmed in one seeded way, for measurements."""

import gzip
import io
import re
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from benchmarks.mutations import (
    MUTATIONS,
    SUFFIXES,
    Mutation,
    flip_bits,
    move_bytes,
    repeat_byte,
    swap_bytes,
    truncate,
)

NOTATION_SUFFIXES = {".xml", ".musicxml", ".mxl", ".abc", ".krn"}
LARGEST_NOTATION = 30_000
"""Bytes; music21 takes seconds for more, packed or not, and faults do not ask for size."""
MEMBERS = 6
"""Most files in an archive."""
PACKAGES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".gz")
NUMBERS = (b"0", b"-1", b"3", b"999", b"65536", b"4294967296", b"1e9", b"1/0", b"9" * 300, b"")
TAG = re.compile(rb"<([a-zA-Z][\w-]*)")
CUT, SIGNATURES = re.compile(rb"[<>\n\t ]"), re.compile(rb"PK..|ustar|\x1f\x8b|BZh|\xfd7z")


def change_numbers(data: bytearray, rng: np.random.Generator) -> None:
    """Up to five numbers of a text are others."""
    for _ in range(rng.integers(1, 6)):
        if not (found := list(re.finditer(rb"\d+", data))):
            return
        at = found[rng.integers(len(found))]
        data[at.start() : at.end()] = NUMBERS[rng.integers(len(NUMBERS))]


def move_words(data: bytearray, rng: np.random.Generator) -> None:
    """A few words, tags or lines of a text are left out, doubled, or put elsewhere."""
    for _ in range(rng.integers(1, 4)):
        cuts = [0, *(cut.start() for cut in CUT.finditer(data)), len(data)]
        first = int(rng.integers(len(cuts)))
        start, stop = cuts[first], cuts[min(first + int(rng.integers(1, 30)), len(cuts) - 1)]
        words = data[start:stop]
        if rng.random() < 0.5:
            del data[start:stop]
        if rng.random() < 0.6:
            at = cuts[rng.integers(len(cuts))]
            data[at:at] = words


def move_elements(data: bytearray, rng: np.random.Generator) -> None:
    """A few XML elements are left out, doubled, or put where others were, so that a parser still takes it."""
    for _ in range(rng.integers(1, 6)):
        tags = sorted(set(TAG.findall(data)))
        if not tags:
            return
        tag = tags[rng.integers(len(tags))]
        found = list(re.finditer(rb"<%b(?: [^<>]*)?(?:/>|>.*?</%b>)" % (tag, tag), data, re.DOTALL)) or [None]
        first, second = (found[rng.integers(len(found))] for _ in range(2))
        if first and second:
            data[first.start() : first.end()] = second.group() * int(rng.integers(4))


def falsify_fields(data: bytearray, rng: np.random.Generator) -> None:
    """One to four bytes near a signature, where sizes, checksums and offsets are, say something else."""
    signs = [sign.start() for sign in SIGNATURES.finditer(data)] or [0]
    at = signs[rng.integers(len(signs))] + int(rng.integers(2, 50))
    width = int(rng.choice([1, 2, 4]))
    data[at : at + width] = rng.bytes(width) if rng.random() < 0.5 else bytes([int(rng.choice([0, 1, 255]))]) * width


def leave(data: bytearray, rng: np.random.Generator) -> None:
    """Nothing: an archive is whole, and what is in it is damaged."""


TEXT_MUTATIONS: tuple[Mutation, ...] = (change_numbers, move_words, truncate, flip_bits, move_bytes, repeat_byte)
XML_MUTATIONS: tuple[Mutation, ...] = (move_elements, move_elements, change_numbers, change_numbers, *TEXT_MUTATIONS)
ARCHIVE_MUTATIONS: tuple[Mutation, ...] = (leave, falsify_fields, truncate, flip_bits, move_bytes, swap_bytes)


class Damage:
    """What writes damaged files.

    Args:
        midi: folders of MIDI files.
        notation: folder of written music.
        seed: of all chances.
    """

    def __init__(self, midi: Sequence[Path], notation: Path, *, seed: int) -> None:
        self._midi = _files(midi, SUFFIXES)
        self._notation = [
            path for path in _files([notation], NOTATION_SUFFIXES) if path.stat().st_size < _largest(path.suffix)
        ]
        self._seed = seed

    def write(self, folder: Path, count: int, *, notation: float, archives: float) -> None:
        """`count` files into `folder`; `notation` and `archives` are their shares."""
        for index in range(count):
            rng = np.random.default_rng([self._seed, index])
            kind = rng.random()
            if kind < notation:
                name, data = self._text(rng)
            elif kind < notation + archives:
                name, data = self._archive(rng)
            else:
                name, data = self._file(rng)
            path = folder / f"{index // 100:02}" / f"{index:05}-{name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def _file(self, rng: np.random.Generator) -> tuple[str, bytes]:
        return _damaged(self._midi[rng.integers(len(self._midi))], MUTATIONS, rng)

    def _text(self, rng: np.random.Generator) -> tuple[str, bytes]:
        suffix = str(rng.choice(sorted({path.suffix for path in self._notation})))
        by_kind = [path for path in self._notation if path.suffix == suffix]
        path = by_kind[rng.integers(len(by_kind))]
        if path.suffix != ".mxl":
            return _damaged(path, TEXT_MUTATIONS if path.suffix in (".abc", ".krn") else XML_MUTATIONS, rng)
        if rng.random() < 0.2:
            return _damaged(path, ARCHIVE_MUTATIONS[1:], rng)
        return _repacked(path, rng)

    def _archive(self, rng: np.random.Generator) -> tuple[str, bytes]:
        members = dict(self._file(rng) for _ in range(rng.integers(1, MEMBERS + 1)))
        package = str(rng.choice(PACKAGES))
        data, mutation = bytearray(packed(members, package)), ARCHIVE_MUTATIONS[rng.integers(len(ARCHIVE_MUTATIONS))]
        mutation(data, rng)
        name = next(iter(members)) if package == ".gz" else "pack"
        return f"{mutation.__name__}-{name}{package}", bytes(data)


def packed(members: dict[str, bytes], package: str) -> bytes:
    """An archive of the members, or the first of them by gzip alone."""
    target = io.BytesIO()
    if package == ".gz":
        return gzip.compress(next(iter(members.values())), mtime=0)
    if package == ".zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, data in members.items():
                zipped.writestr(name, data)
        return target.getvalue()
    kind = package.removeprefix(".tar").removeprefix(".").replace("tgz", "gz")
    with tarfile.open(fileobj=target, mode=f"w:{kind}") as tape:  # type: ignore[call-overload]
        for name, data in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tape.addfile(about, io.BytesIO(data))
    return target.getvalue()


def _damaged(path: Path, mutations: Sequence[Mutation], rng: np.random.Generator) -> tuple[str, bytes]:
    """A name that tells what was done to the file, and what is left of it."""
    data, mutation = bytearray(path.read_bytes()), mutations[rng.integers(len(mutations))]
    mutation(data, rng)
    return f"{mutation.__name__}-{path.name}", bytes(data)


def _repacked(path: Path, rng: np.random.Generator) -> tuple[str, bytes]:
    """A whole MXL file, of which each text is damaged."""
    mutation = XML_MUTATIONS[rng.integers(len(XML_MUTATIONS))]
    members: dict[str, bytes] = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            text = bytearray(archive.read(name))
            if text and not name.startswith("META-INF"):
                mutation(text, rng)
            members[name] = bytes(text)
    return f"{mutation.__name__}-{path.name}", packed(members, ".zip")


def _files(folders: Sequence[Path], suffixes: set[str]) -> list[Path]:
    """Sorted by path; those that are too short to be harmed in every way are left out."""
    paths = (path for folder in folders for path in sorted(folder.rglob("*")))
    return [path for path in paths if path.suffix.lower() in suffixes and path.stat().st_size > 14]


def _largest(suffix: str) -> int:
    return LARGEST_NOTATION // 5 if suffix == ".mxl" else LARGEST_NOTATION

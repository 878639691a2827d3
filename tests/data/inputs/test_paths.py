"""Whatever files and members are called: each is found once, under a path by which it is read."""

import gzip
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.archives import tar_of, write_old, zip_of

from aurl.data.inputs import find, read_source, suffix_of

PARTS = st.sampled_from(["a", "é", "a b", "x.zip", "x.zip!", "t.abc!", "x.tar.gz", "!", "#?%41", "[a]", "1", "\udcff"])
FOLDERS = st.lists(PARTS, max_size=2).map("".join)
PIECES = st.tuples(PARTS, st.sampled_from([".mid", ".MID", ".krn", ".mid.gz"])).map("".join)
PLACES = st.tuples(FOLDERS, PIECES).map(lambda place: "/".join(part for part in place if part))
PACKAGES = st.sampled_from([".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz"])
INNER = PLACES.filter(lambda place: "\udcff" not in place)
"""Python's own zipfile cannot write such names."""


def packed(members, suffix):
    if suffix == ".zip":
        return zip_of(members)
    return tar_of(members, "w:" + {".tar": "", ".tar.xz": "xz"}.get(suffix, "gz"))


def content(name, number):
    """As it is when it is read, and as it is stored."""
    data = f"{number} {name}".encode("utf-8", "surrogateescape") * 9
    return data, gzip.compress(data, mtime=0) if name.endswith(".gz") else data


@st.composite
def libraries(draw):
    """(files to be written, logical path → what should be read there)."""
    files, expected = {}, {}
    for number, name in enumerate(draw(st.lists(PLACES, max_size=3, unique=True))):
        read, stored = content(name, number)
        files[name], expected[name] = stored, read
    for number in range(draw(st.integers(0 if files else 1, 2))):
        suffix = draw(PACKAGES)
        archive = f"{draw(FOLDERS)}{number}{suffix}"
        members = {}
        for name in draw(st.lists(INNER, min_size=1, max_size=3, unique=True)):
            read, members[name] = content(name, number)
            expected[f"{archive}!/{name}"] = read
        files[archive] = packed(members, suffix)
    return files, expected


@given(libraries())
@settings(max_examples=80, deadline=None)
def test_everything_is_found_once_and_read_by_its_path(library):
    files, expected = library
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as spool:
        for name, stored in files.items():
            write_old(Path(folder, name), stored)
        found = find([folder], spool=Path(spool), max_bytes=10**6)
        assert found.refused == []
        read = {source.path: read_source(source.path, 10**6, spool=Path(spool)) for source in found.sources}
        assert len(read) == len(found.sources)
        assert read == {f"{folder}/{name}": data for name, data in expected.items()}
        suffixes = {path: suffix_of(path) for path in read}
        assert all(path.lower().removesuffix(".gz").endswith(suffix) and suffix for path, suffix in suffixes.items())

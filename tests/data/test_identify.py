import hashlib
import threading
from pathlib import Path

import pytest
from tests.support.midi_files import tune, write_file, write_tunes

from aurl.data.identify import identify
from aurl.data.inputs import UNKNOWN, Source, find
from aurl.progress import Interrupts, silent

LATER = 2_000_000_000 * 10**9


@pytest.fixture
def library(tmp_path):
    write_tunes(tmp_path, 700)
    return tmp_path


def listed(paths):
    return find(paths, spool=Path("unused"), max_bytes=10**6).sources


def look(sources, known=None, **options):
    given = {"listed_ns": LATER, "max_bytes": 10**6, "report": silent, "interrupts": Interrupts(), **options}
    return identify(sources, known or {}, **given)


def test_every_content_is_the_hash_of_the_file(library):
    sources = listed([library])
    found = look(sources)
    assert [source for source, _ in found.files] == sources
    for source, digest in found.files[::50]:
        with open(source.path, "rb") as file:  # noqa: PTH123 - paths are str here
            assert digest == hashlib.sha256(file.read()).digest()
    assert found.complete
    assert found.settled


def test_known_files_are_not_opened(library):
    sources = listed([library])
    known = {source.path: (source.size, source.mtime_ns, b"as before") for source in sources[1:]}
    for path in library.rglob("*.mid"):
        path.unlink()
    found = look(sources, known)
    assert [digest for _, digest in found.files] == [b"as before"] * 699
    assert [record.source for record in found.refused] == [sources[0].path]
    assert found.refused[0].reason == "unreadable"


def test_another_size_or_time_is_another_file(library):
    sources = listed([library])[:2]
    known = {
        sources[0].path: (sources[0].size + 1, sources[0].mtime_ns, b""),
        sources[1].path: (sources[1].size, sources[1].mtime_ns + 1, b""),
    }
    assert all(len(digest) == 32 for _, digest in look(sources, known).files)


def test_a_time_that_proves_nothing_is_not_remembered(library):
    source = listed([library])[0]
    found = look([source], listed_ns=source.mtime_ns + 10**9)
    assert found.files[0][0].mtime_ns == UNKNOWN
    assert not found.settled
    again = look([source], {source.path: (source.size, UNKNOWN, b"old")})
    assert again.files[0][1] != b"old"


def test_large_files_are_refused_unread(tmp_path):
    write_file(tmp_path / "a.mid", tune(1))
    sources = [Source(str(tmp_path / "a.mid"), 10**9, 1), *listed([tmp_path])]
    found = look(sources)
    assert [record.reason for record in found.refused] == ["too_large"]
    assert len(found.files) == 1


def test_stop_is_seen_between_chunks(library):
    interrupts = Interrupts()
    interrupts.stop = 2
    assert not look(listed([library]), interrupts=interrupts).complete


def test_progress_ends_at_the_number_of_files_read(library):
    seen = []
    look(listed([library]), report=seen.append)
    assert (seen[-1].task, seen[-1].done, seen[-1].total) == ("read", 700, 700)
    assert threading.active_count() < 50

import contextlib
import gzip
import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.archives import tar_of, write_old, zip_of
from tests.support.midi_files import tune

from aurl.data.inputs import default_spool, find, read_source, suffix_of
from aurl.errors import AurlError
from aurl.midi.reasons import Rejected, RejectReason


def read(path, spool, limit=10**6):
    return read_source(str(path), limit, spool=spool)


@pytest.mark.parametrize("limit", [0, 1, 100, 10**9])
def test_plain_files_are_read_up_to_the_limit(tmp_path, spool, limit):
    path = write_old(tmp_path / "a.mid", tune(1))
    assert read(path, spool, limit) == tune(1)[:limit]
    assert read(write_old(tmp_path / "b.mid", b""), spool, limit) == b""


@pytest.mark.parametrize("name", ["a.mid.gz", "a.MID.GZ"])
def test_what_gzip_has_packed_is_unpacked(tmp_path, contents, name):
    path = write_old(tmp_path / name, gzip.compress(tune(1)))
    assert contents(tmp_path) == {str(path): tune(1)}


def test_several_streams_of_gzip_are_one_file(tmp_path, spool):
    path = write_old(tmp_path / "a.mid.gz", gzip.compress(tune(1)[:50]) + gzip.compress(tune(1)[50:]))
    assert read(path, spool) == tune(1) == gzip.decompress(path.read_bytes())


@pytest.mark.parametrize("garbage", [b"\0" * 100, b"garbage", b"\x1f", b"\x1f\x8b"])
def test_what_stands_behind_the_gzip_means_nothing(tmp_path, spool, garbage):
    assert read(write_old(tmp_path / "a.mid.gz", gzip.compress(tune(1)) + garbage), spool) == tune(1)


def test_a_file_that_is_only_called_gz(tmp_path, spool):
    assert read(write_old(tmp_path / "a.mid.gz", tune(1)), spool) == tune(1)
    assert read(write_old(tmp_path / "b.mid.gz", tune(1)), spool, 20) == tune(1)[:20]
    assert read(write_old(tmp_path / "c.mid.gz", b""), spool) == b""


@pytest.mark.parametrize("cut", [1, 8, 30])
def test_gzip_that_ends_too_early(tmp_path, spool, cut):
    path = write_old(tmp_path / "a.mid.gz", gzip.compress(tune(1))[:-cut])
    with pytest.raises(Rejected, match="too early") as caught:
        read(path, spool)
    assert caught.value.reason is RejectReason.DAMAGED_ARCHIVE
    assert caught.value.name == str(path)


def test_gzip_whose_checksum_does_not_match(tmp_path, spool):
    data = bytearray(gzip.compress(tune(1)))
    data[-5] ^= 1
    with pytest.raises(Rejected, match="cannot be unpacked"):
        read(write_old(tmp_path / "a.mid.gz", bytes(data)), spool)


def test_a_gzip_bomb_gives_no_more_than_the_limit(tmp_path, spool):
    path = write_old(tmp_path / "a.mid.gz", gzip.compress(bytes(50 * 10**6), 1))
    assert read(path, spool, 1000) == bytes(1000)


def test_packed_members_are_unpacked_twice(tmp_path, contents):
    packed = {"a.mid.gz": gzip.compress(tune(1)), "b.kar.GZ": gzip.compress(tune(2)), "c.txt.gz": b""}
    write_old(tmp_path / "x.zip", zip_of(packed))
    write_old(tmp_path / "y.tar.gz", gzip.compress(tar_of({"d.mid.gz": gzip.compress(tune(3))})))
    assert contents(tmp_path) == {"a.mid.gz": tune(1), "b.kar.GZ": tune(2), "d.mid.gz": tune(3)}


def test_names_that_contain_the_mark(tmp_path, contents, listed):
    write_old(tmp_path / "a!" / "b.mid", tune(1))
    pack = write_old(tmp_path / "a!" / "c.zip", zip_of({"d!/e.mid": tune(2), "f.zip!/g.mid": tune(3)}))
    assert {source.path for source in listed(tmp_path).sources} == {
        str(tmp_path / "a!" / "b.mid"),
        f"{pack}!/d!/e.mid",
        f"{pack}!/f.zip!/g.mid",
    }
    assert sorted(contents(tmp_path).values()) == sorted([tune(1), tune(2), tune(3)])


def test_a_file_of_a_members_name_wins(tmp_path, contents, listed):
    write_old(tmp_path / "c.zip", zip_of({"a.mid": tune(1), "b.mid": tune(2), "c.mid.gz": b"", "d.abc": b"X:1\n"}))
    write_old(tmp_path / "c.zip!" / "a.mid", tune(3))
    for order in ([tmp_path], [tmp_path / "c.zip", tmp_path / "c.zip!"], [tmp_path / "c.zip!", tmp_path / "c.zip"]):
        assert contents(*order) == {"a.mid": tune(3), "b.mid": tune(2), "c.mid.gz": b"", "d.abc": b"X:1\n"}
    sizes = {source.path: source.size for source in listed(tmp_path / "c.zip!", tmp_path / "c.zip").sources}
    assert sizes[str(tmp_path / "c.zip!" / "a.mid")] == len(tune(3))


@pytest.mark.parametrize(
    "name", ["gone.mid", "x.zip!/gone.mid", "gone.zip!/a.mid", "x.zip!/a.mid!/3", "x.zip!/y/z", "x!/y"]
)
def test_what_is_not_there(tmp_path, spool, name):
    write_old(tmp_path / "x.zip", zip_of({"a.mid": tune(1)}))
    with pytest.raises(OSError, match="No such file"):
        read(tmp_path / name, spool)


def test_a_cut_archive_that_is_read_all_the_same(tmp_path, spool):
    path = write_old(tmp_path / "x.zip", zip_of({"a.mid": tune(1)})[:-3])
    with pytest.raises(Rejected) as caught:
        read(f"{path}!/a.mid", spool)
    assert caught.value.reason is RejectReason.DAMAGED_ARCHIVE


def test_rejections_show_names_escaped(tmp_path, spool):
    path = write_old(tmp_path / "\x1b[31m.mid.gz", gzip.compress(tune(1))[:-9])
    with pytest.raises(AurlError) as caught:
        read(path, spool)
    assert "\x1b" not in caught.value.message
    assert "\\x1b[31m" in caught.value.message


@pytest.fixture
def everything(tmp_path, spool):
    """Logical paths of all kinds."""
    tunes = {f"{index}.mid": tune(index) for index in range(20)}
    write_old(tmp_path / "x.zip", zip_of(tunes))
    write_old(tmp_path / "x.tar", tar_of(tunes))
    write_old(tmp_path / "x.tar.gz", gzip.compress(tar_of(tunes)))
    write_old(tmp_path / "x.abc", b"".join(b"X:%d\nK:C\nCDEF|\n" % index for index in range(20)))
    return [source.path for source in find([tmp_path], spool=spool, max_bytes=10**6).sources]


@pytest.mark.parametrize("method", sorted({"fork", "spawn"} & set(multiprocessing.get_all_start_methods())))
def test_other_processes_read_the_same(everything, spool, method):
    reading = partial(read_source, limit=10**6, spool=spool)
    here = [reading(path) for path in everything]
    with ProcessPoolExecutor(2, multiprocessing.get_context(method)) as processes:
        assert list(processes.map(reading, everything, chunksize=8)) == here
    assert len(everything) == 80


def test_threads_may_read_at_once(everything, spool):
    reading = partial(read_source, limit=10**6, spool=spool)
    here = [reading(path) for path in everything]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            assert list(threads.map(reading, everything)) == here
    assert threading.active_count() < 20


def test_the_usual_spool_is_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AURL_CACHE", str(tmp_path / "cache"))
    path = write_old(tmp_path / "x.tar.gz", gzip.compress(tar_of({"a.mid": tune(1)})))
    assert read_source(f"{path}!/a.mid", 10**6) == tune(1)
    assert default_spool().is_relative_to(tmp_path / "cache")
    assert any(default_spool().rglob("*"))


@pytest.mark.parametrize(
    ("path", "suffix"),
    [
        ("/x/a.MID", ".mid"),
        ("/x/a.mid.gz", ".mid"),
        ("/x/y.zip!/a.KAR.gz", ".kar"),
        ("/x/t.abc!/12", ".abc"),
        ("/x/y.zip!/t.abc.gz!/12", ".abc"),
        ("/x/y.zip!/12", ""),
        ("/x/t.abc!/a.mid", ".mid"),
        ("https://host/a%20b.xml?download=1", ".xml"),
        ("https://host/a.zip?x=.y!/b.krn", ".krn"),
        ("memory://a/b.mxl", ".mxl"),
        ("/x/noname", ""),
    ],
)
def test_suffixes_of_logical_paths(path, suffix):
    assert suffix_of(path) == suffix


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_broken_archives_end_in_typed_refusals(tmp_path, spool, suffix, data):
    tunes = {"a.mid": tune(1), "b/c.mid": bytes(3000), "d.abc": b"X:1\nK:C\nC|\nX:2\nK:C\nD|\n"}
    whole = zip_of(tunes) if suffix == ".zip" else tar_of(tunes)
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(broken) - 1))
        broken[at] = data.draw(st.integers(0, 255))
    broken = broken[: data.draw(st.integers(0, len(broken)))] if data.draw(st.booleans()) else broken
    path = tmp_path / f"x{suffix}"
    path.write_bytes(gzip.compress(broken) if suffix == ".tar.gz" else broken)
    write_old(tmp_path / "good.mid", tune(2))
    found = find([tmp_path], spool=spool, max_bytes=10**6)
    for source in found.sources:
        with contextlib.suppress(Rejected, OSError):
            assert len(read(source.path, spool)) <= 10**6
    assert str(tmp_path / "good.mid") in {source.path for source in found.sources}

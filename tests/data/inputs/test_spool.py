import os
import threading
import time

import pytest

from aurl.data.inputs import spool as spool_module
from aurl.data.inputs.spool import Spool


def writing(data):
    return lambda out: out.write(data)


def copies(spool):
    return [
        path for path in spool.folder.rglob("*") if (path.is_file() and path.name[0] != ".") or path.suffix == ".tmp"
    ]


def test_a_copy_is_found_by_location_and_version(tmp_path):
    spool = Spool(tmp_path)
    path = spool.keep("memory://a", "1", writing(b"one"))
    assert path.read_bytes() == b"one"
    assert spool.held("memory://a") == spool.held("memory://a", "1") == path
    assert spool.held("memory://a", "2") is spool.held("memory://b") is None


def test_a_copy_that_is_there_is_not_made_again(tmp_path):
    spool = Spool(tmp_path)
    spool.keep("a", "1", writing(b"one"))
    assert spool.keep("a", "1", writing(b"two")).read_bytes() == b"one"


def test_a_new_version_replaces_the_old_one(tmp_path):
    spool = Spool(tmp_path)
    spool.keep("a", "1", writing(b"one"))
    other = spool.keep("b", "1", writing(b"b"))
    new = spool.keep("a", "2", writing(b"two"))
    assert sorted(copies(spool)) == sorted([other, new])


@pytest.mark.parametrize(("but", "left"), [("", 0), ("1", 1), ("2", 0)])
def test_outdated_versions_are_forgotten(tmp_path, but, left):
    spool = Spool(tmp_path)
    spool.keep("a", "1", writing(b"one"))
    spool.forget("a", but=but)
    spool.forget("never seen")
    assert len(copies(spool)) == left


def test_a_copy_that_cannot_be_finished_leaves_nothing(tmp_path):
    def fill(out):
        out.write(b"half")
        raise OSError("the line is dead")

    spool = Spool(tmp_path)
    with pytest.raises(OSError, match="line"):
        spool.keep("a", "1", fill)
    assert copies(spool) == []
    assert spool.held("a") is None


def test_only_one_of_many_threads_makes_a_copy(tmp_path):
    made = []

    def fill(out):
        made.append(1)
        time.sleep(0.05)
        out.write(b"x" * 1000)

    threads = [threading.Thread(target=Spool(tmp_path).keep, args=("a", "1", fill)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_the_longest_unused_go_first(tmp_path):
    spool = Spool(tmp_path, max_bytes=250)
    paths = [spool.keep(name, "1", writing(bytes(100))) for name in "abcd"]
    now = time.time()
    for age, path in zip((50, 10, 40, 20), paths, strict=True):
        if path.exists():
            os.utime(path, (now - age, 1))
    spool.trim()
    assert sum(path.stat().st_size for path in copies(spool)) <= 250
    assert paths[0] not in copies(spool)
    assert paths[3] in copies(spool)


def test_copies_that_nobody_uses_go_with_time(tmp_path):
    spool = Spool(tmp_path)
    old, used, leftover = (spool.keep(name, "1", writing(b"x")) for name in "abc")
    ago = time.time() - spool_module.MAX_AGE_SECONDS - 100
    leftover = leftover.rename(leftover.with_name(f".{leftover.name}.1-2.tmp"))
    for path in (old, used, leftover):
        os.utime(path, (ago, ago))
    spool.held("b")
    foreign = tmp_path / "mine.txt"
    foreign.write_text("not a copy", encoding="ascii")
    os.utime(foreign, (ago, ago))
    spool.trim()
    assert sorted(copies(spool)) == sorted([used, foreign])
    assert used.stat().st_mtime == pytest.approx(ago)


def test_a_process_that_writes_much_looks_after_the_size(tmp_path):
    spool = Spool(tmp_path, max_bytes=1600)
    for number in range(50):
        spool.keep(str(number), "1", writing(bytes(90)))
    assert sum(path.stat().st_size for path in copies(spool)) <= 1700
    assert len(copies(spool)) > 10


@pytest.mark.parametrize("is_file", [True, False])
def test_a_place_where_nothing_can_be_written_is_left_alone(tmp_path, is_file):
    """As in a cache that other users share; root may write anywhere, but not into what is no folder."""
    folder = tmp_path / "spool"
    if is_file:
        folder.write_text("no folder")
    else:
        (folder / ".trimmed").mkdir(parents=True)
        folder.chmod(0o500)
    before = sorted(tmp_path.rglob("*"))
    Spool(folder).tidy()
    folder.chmod(0o700)
    assert sorted(tmp_path.rglob("*")) == before
    assert not is_file or folder.read_text() == "no folder"


def test_somebody_looks_after_it_once_a_day(tmp_path):
    spool = Spool(tmp_path / "spool")
    spool.tidy()
    assert not spool.folder.exists()
    ago = time.time() - spool_module.MAX_AGE_SECONDS - 100
    for name, left in (("a", 0), ("b", 1)):
        os.utime(spool.keep(name, "1", writing(b"x")), (ago, ago))
        spool.tidy()
        assert len(copies(spool)) == left
    os.utime(spool.folder / ".trimmed", (ago, ago))
    spool.tidy()
    assert copies(spool) == []

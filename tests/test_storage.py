"""Files are old or new, never half, whatever fails and whenever it fails."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurl.errors import DamagedError, ExitCode, NotFoundError, UsageError
from aurl.storage import (
    atomic_folder,
    atomic_write,
    find_upwards,
    link_or_copy,
    read_json,
    read_toml,
    remove_leftovers,
    write_bytes,
    write_json,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_written_values_come_back(tmp_path):
    write_bytes(tmp_path / "a", b"\x00\xff")
    write_text(tmp_path / "b", "Ähre\n")
    write_json(tmp_path / "c", {"ü": [1, 2.5, None]})
    assert (tmp_path / "a").read_bytes() == b"\x00\xff"
    assert (tmp_path / "b").read_text(encoding="utf-8") == "Ähre\n"
    assert read_json(tmp_path / "c") == {"ü": [1, 2.5, None]}
    assert names(tmp_path) == ["a", "b", "c"]


def test_names_that_are_not_utf_8_come_back_from_json(tmp_path):
    strange = {os.fsdecode(b"a\xff.mid"): "ü"}
    write_json(tmp_path / "a", strange)
    assert read_json(tmp_path / "a") == strange
    assert "ü" in (tmp_path / "a").read_text(encoding="utf-8")


def test_folders_on_the_way_are_made(tmp_path):
    write_text(tmp_path / "x" / "y" / "z.txt", "deep")
    assert (tmp_path / "x" / "y" / "z.txt").read_text() == "deep"


def test_symbolic_link_keeps_pointing_to_its_file(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_new_files_have_the_permissions_of_ordinary_files(tmp_path):
    (tmp_path / "ordinary").write_text("")
    write_text(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
@settings(max_examples=20, deadline=None)
@given(old=st.none() | st.binary(max_size=100), chunks=st.lists(st.binary(max_size=50)), data=st.data())
def test_failure_between_any_two_writes_leaves_the_old_content(tmp_path_factory, failure, old, chunks, data):
    folder = tmp_path_factory.mktemp("atomic")
    target = folder / "target"
    if old is not None:
        target.write_bytes(old)
    fail_before = data.draw(st.integers(0, len(chunks)))

    def write():
        with atomic_write(target) as file:
            for index, chunk in enumerate(chunks):
                if index == fail_before:
                    raise failure
                file.write(chunk)
            raise failure

    with pytest.raises(failure):
        write()
    assert names(folder) == ([] if old is None else ["target"])
    assert old is None or target.read_bytes() == old


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk_leaves_the_old_content(tmp_path, monkeypatch, call):
    target = tmp_path / "target"
    target.write_text("old")

    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail) if call == "fsync" else monkeypatch.setattr(type(target), "replace", fail)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        write_text(target, "new")
    monkeypatch.undo()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["target"]


def test_content_is_on_the_disk_before_its_name_is(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, type(tmp_path).replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (order.append("fsync"), fsync(descriptor))[1])
    monkeypatch.setattr(type(tmp_path), "replace", lambda self, to: (order.append("rename"), replace(self, to))[1])
    write_text(tmp_path / "target", "new")
    assert order == ["fsync", "rename", "fsync"]


KILLED_WRITER = """
import sys
from pathlib import Path
from aurl.storage import atomic_folder, atomic_write
target, kind = Path(sys.argv[1]), sys.argv[2]
for number in range(10**9):
    if kind == "file":
        with atomic_write(target, mode="w") as file:
            for _ in range(200):
                file.write(f"{number}\\n")
                file.flush()
    else:
        with atomic_folder(target) as folder:
            for name in range(4):
                (folder / str(name)).write_text(f"{number}\\n" * 50)
    print("written", flush=True)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("milliseconds", [0, 1, 3, 7])
def test_killed_writer_leaves_whole_content_and_leftovers_can_be_cleared(tmp_path, kind, milliseconds):
    target = tmp_path / "target"
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED_WRITER, str(target), kind], stdout=subprocess.PIPE, text=True
    )
    writer.stdout.readline()
    time.sleep(milliseconds / 1000)
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    if kind == "file":
        lines = target.read_text().splitlines()
        assert len(lines) == 200
        assert len(set(lines)) == 1
    elif target.exists():
        assert len({(target / name).read_text() for name in "0123"}) == 1
    remove_leftovers(tmp_path)
    assert names(tmp_path) in (["target"], [])


def test_leftovers_are_only_our_temporary_names(tmp_path):
    (tmp_path / "music.tmp").write_text("mine")
    (tmp_path / ".hidden").write_text("mine")
    (tmp_path / ".a.1-ff.tmp").write_text("leftover")
    (tmp_path / ".b.1-ff.tmp").mkdir()
    (tmp_path / ".b.1-ff.tmp" / "x").write_text("leftover")
    assert remove_leftovers(tmp_path) == 2
    assert names(tmp_path) == [".hidden", "music.tmp"]


def test_folder_appears_whole_or_not_at_all(tmp_path):
    with atomic_folder(tmp_path / "final") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "final").exists()
    assert (tmp_path / "final" / "a").read_text() == "1"

    def fail():
        with atomic_folder(tmp_path / "final") as folder:
            (folder / "a").write_text("2")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (tmp_path / "final" / "a").read_text() == "1"
    assert names(tmp_path) == ["final"]


def test_folder_that_exists_is_replaced_as_a_whole(tmp_path):
    for value in "12":
        with atomic_folder(tmp_path / "final") as folder:
            (folder / value).write_text(value)
    assert names(tmp_path / "final") == ["2"]
    assert names(tmp_path) == ["final"]


def test_old_folder_stays_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    with atomic_folder(tmp_path / "final") as folder:
        (folder / "a").write_text("old")
    rename, calls = type(tmp_path).rename, []

    def second_fails(self, to):
        calls.append(self)
        if len(calls) == 2:
            raise OSError(errno.EIO, "cannot")
        return rename(self, to)

    monkeypatch.setattr(type(tmp_path), "rename", second_fails)

    def replace():
        with atomic_folder(tmp_path / "final") as folder:
            (folder / "a").write_text("new")

    with pytest.raises(OSError, match="cannot"):
        replace()
    assert (tmp_path / "final" / "a").read_text() == "old"
    assert names(tmp_path) == ["final"]


def test_missing_json_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match=r"run\.json"):
        read_json(tmp_path / "run.json")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": 1} x'])
def test_broken_json_is_damaged_and_named(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(DamagedError, match=r"run\.json") as caught:
        read_json(tmp_path / "run.json")
    assert caught.value.exit_code == ExitCode.DAMAGED


def test_json_that_is_too_large_is_refused(tmp_path):
    write_json(tmp_path / "a", "x" * 100)
    with pytest.raises(DamagedError, match="larger than 50 bytes"):
        read_json(tmp_path / "a", max_bytes=50)


def test_toml_faults_name_the_line(tmp_path):
    write_text(tmp_path / "a.toml", "a = 1\nb = \n")
    with pytest.raises(UsageError, match=r"a\.toml is not valid TOML: .*line 2"):
        read_toml(tmp_path / "a.toml")


def test_find_upwards_takes_the_nearest_file(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert find_upwards("some-unusual-name.toml", inner) is None
    (tmp_path / "some-unusual-name.toml").touch()
    assert find_upwards("some-unusual-name.toml", inner) == (tmp_path / "some-unusual-name.toml").resolve()
    (inner / "some-unusual-name.toml").touch()
    assert find_upwards("some-unusual-name.toml", inner) == (inner / "some-unusual-name.toml").resolve()


class TestLinkOrCopy:
    def no_links(self, *_, **__):
        raise OSError(errno.EPERM, "no links here")

    def test_is_the_same_file_where_that_can_be(self, tmp_path):
        (tmp_path / "a").write_text("new")
        (tmp_path / "b").write_text("old")
        for _ in range(2):
            assert link_or_copy(tmp_path / "a", tmp_path / "b")
            assert (tmp_path / "a").samefile(tmp_path / "b")
        assert names(tmp_path) == ["a", "b"]

    def test_is_a_copy_elsewhere(self, tmp_path, monkeypatch):
        monkeypatch.setattr(os, "link", self.no_links)
        (tmp_path / "a").write_text("new")
        assert not link_or_copy(tmp_path / "a", tmp_path / "deep" / "b")
        assert (tmp_path / "deep" / "b").read_text() == "new"
        assert not (tmp_path / "a").samefile(tmp_path / "deep" / "b")
        assert names(tmp_path) == ["a", "deep"]

    def test_a_source_that_is_gone_leaves_the_old_file(self, tmp_path):
        (tmp_path / "b").write_text("old")
        with pytest.raises(FileNotFoundError):
            link_or_copy(tmp_path / "a", tmp_path / "b")
        assert (tmp_path / "b").read_text() == "old"
        assert names(tmp_path) == ["b"]

    def test_a_full_disk_leaves_the_old_file(self, tmp_path, monkeypatch):
        def full(source, target):
            target.write(source.read(1))
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "link", self.no_links)
        monkeypatch.setattr("shutil.copyfileobj", full)
        (tmp_path / "a").write_text("new")
        (tmp_path / "b").write_text("old")
        with pytest.raises(OSError, match="No space"):
            link_or_copy(tmp_path / "a", tmp_path / "b")
        assert (tmp_path / "b").read_text() == "old"
        assert names(tmp_path) == ["a", "b"]

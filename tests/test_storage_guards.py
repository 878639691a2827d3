"""Checksums notice every change, and a lock keeps all others out."""

import hashlib
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurl.errors import DamagedError, ExitCode, LockedError
from aurl.storage import lock, sha256_file, verify_manifest, write_manifest


@pytest.fixture
def sealed(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "sub" / "state.json").write_text(json.dumps({"step": 3}))
    write_manifest(tmp_path)
    return tmp_path


def test_manifest_is_what_sha256sum_writes(sealed):
    expected = "".join(
        f"{hashlib.sha256((sealed / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("sub/state.json", "weights.bin")
    )
    assert (sealed / "manifest.sha256").read_text() == expected
    assert verify_manifest(sealed) == ("sub/state.json", "weights.bin")
    assert sha256_file(sealed / "weights.bin") == hashlib.sha256(bytes(range(256)) * 10).hexdigest()


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_is_noticed_and_its_file_named(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("sealed")
    contents = {"a.bin": b"\x00" * 40, "b.bin": bytes(range(40))}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    write_manifest(folder)
    name = data.draw(st.sampled_from(sorted(contents)))
    position, bit = data.draw(st.integers(0, 39)), data.draw(st.integers(0, 7))
    flipped = bytearray(contents[name])
    flipped[position] ^= 1 << bit
    (folder / name).write_bytes(bytes(flipped))
    with pytest.raises(DamagedError, match=name):
        verify_manifest(folder)


def test_missing_file_is_named(sealed):
    (sealed / "weights.bin").unlink()
    with pytest.raises(DamagedError, match=r"weights\.bin is missing"):
        verify_manifest(sealed)


@pytest.mark.parametrize(
    "content", ["zz\n", "0" * 64 + "  /etc/passwd\n", "0" * 64 + "  ../outside\n", "0" * 64 + " \n"]
)
def test_manifest_with_strange_lines_is_damaged(sealed, content):
    (sealed / "manifest.sha256").write_text(content)
    with pytest.raises(DamagedError, match="no checksum"):
        verify_manifest(sealed)


def test_folder_without_manifest_is_damaged(tmp_path):
    with pytest.raises(DamagedError, match=r"no manifest\.sha256"):
        verify_manifest(tmp_path)


def test_manifest_of_chosen_files(tmp_path):
    (tmp_path / "in").write_text("1")
    (tmp_path / "out").write_text("2")
    write_manifest(tmp_path, ["in"])
    (tmp_path / "out").write_text("3")
    assert verify_manifest(tmp_path) == ("in",)


HOLDER = """
import sys, time
from pathlib import Path
from aurl.storage import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_lock_names_the_process_that_holds_it_and_is_free_once_that_is_killed(tmp_path):
    path = tmp_path / "run" / ".lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LockedError, match=rf"process {holder.pid} ") as caught, lock(path):
        pytest.fail("two processes hold the lock")
    assert caught.value.exit_code == ExitCode.LOCKED
    holder.kill()
    holder.communicate()
    with lock(path):
        assert (path.parent / ".lock.holder").read_text().startswith(f"process {os.getpid()} ")
    assert not (path.parent / ".lock.holder").exists()


def test_lock_is_not_taken_twice_in_one_process_and_is_free_after_an_error(tmp_path):
    def fail():
        with lock(tmp_path / ".lock"):
            with pytest.raises(LockedError, match=f"process {os.getpid()} "), lock(tmp_path / ".lock"):
                pytest.fail("held twice")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with lock(tmp_path / ".lock"):
        assert (tmp_path / ".lock").exists()


def test_a_lock_is_held_although_its_holder_cannot_be_named(tmp_path):
    (tmp_path / ".lock.holder" / "in the way").mkdir(parents=True)
    for _ in range(2):
        with lock(tmp_path / ".lock"), pytest.raises(LockedError, match="another process"), lock(tmp_path / ".lock"):
            pytest.fail("two hold the lock")

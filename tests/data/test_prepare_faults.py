"""What harms a data set from outside: kills, poison files, damaged files."""

import faulthandler
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.support.datasets import contents, make_profile
from tests.support.midi_files import smf, tune, write_file, write_tunes

from aurl.data.dataset import open_dataset
from aurl.data.manifest import read_manifest
from aurl.data.pieces import PieceReader
from aurl.data.prepare import prepare
from aurl.data.shards import Shard
from aurl.errors import AurlError, DamagedError, NotFoundError
from aurl.preprocess import PREPROCESS, Preprocessed, PreprocessStep

PROFILE = make_profile()
SCRIPT = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from aurl.data.prepare import prepare
from tests.support.datasets import make_profile
if __name__ == "__main__":
    prepare([{library!r}], make_profile(), Path({folder!r}), jobs=2)
"""


@pytest.fixture
def library(tmp_path):
    write_tunes(tmp_path / "midi", 60)
    return tmp_path / "midi"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "dataset"


def shards(folder):
    return {path.name: path.stat().st_ino for path in (folder / "shards").glob("[!.]*")}


def run_and_kill(library, folder, when):
    """Start `prepare` and kill it as soon as `when()`; returns whether it was killed before it had ended."""
    script = folder.parent / "run.py"
    script.write_text(SCRIPT.format(path=sys.path, library=str(library), folder=str(folder)))
    process = subprocess.Popen([sys.executable, str(script)], start_new_session=True)
    while process.poll() is None and not when():
        time.sleep(0.003)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_killed_runs_lose_nothing_and_end_as_one_that_was_not_killed(library, folder, tmp_path):
    prepare([library], PROFILE, tmp_path / "whole", jobs=2)
    expected = contents(tmp_path / "whole")
    total = len(shards(tmp_path / "whole"))
    kills = 0
    for wanted in (1, total // 2, total):
        kills += run_and_kill(library, folder, lambda wanted=wanted: len(shards(folder)) >= wanted)
        before = shards(folder)
        for name in before:
            Shard(folder / "shards" / name)
        if not (folder / "manifest.json").exists():
            with pytest.raises(NotFoundError):
                open_dataset(folder)
    assert kills >= 2
    prepare([library], PROFILE, folder, jobs=2)
    assert {name: shards(folder)[name] for name in before} == before, "a finished shard was written again"
    assert contents(folder) == expected


@pytest.mark.slow
def test_fifty_kills_at_random_moments(library, folder, tmp_path):
    """A shard that is there stays as it is, and what the folder holds is the whole data set or none."""
    prepare([library], PROFILE, tmp_path / "whole", jobs=2)
    expected = contents(tmp_path / "whole")
    rng = np.random.default_rng(0)
    seen: dict[str, set[int]] = {}
    for number in range(50):
        if (folder / "manifest.json").exists():
            assert contents(folder) == expected
            shutil.rmtree(folder)
            seen.clear()
        until = time.monotonic() + rng.uniform(0.1, 1.2)
        run_and_kill(library, folder, lambda until=until: time.monotonic() > until)
        for name, inode in shards(folder).items():
            seen.setdefault(name, set()).add(inode)
        assert all(len(inodes) == 1 for inodes in seen.values()), f"made twice by kill {number}"
    prepare([library], PROFILE, folder, jobs=2)
    assert contents(folder) == expected


@pytest.fixture
def small_disk(tmp_path):
    """A file system of half a MiB, where one may be made."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", place], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)  # a traceback may still hold files there


def test_a_full_disk(small_disk, tmp_path):
    """What fits is kept, what was there stays, and with room the run goes on where it stopped."""
    write_tunes(tmp_path / "midi", 30)
    folder = small_disk / "dataset"
    prepare([tmp_path / "midi"], PROFILE, folder, jobs=1)
    before = contents(folder)
    write_tunes(tmp_path / "midi", 60, first=100)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 40_000))
    with pytest.raises(AurlError, match="cannot write to") as caught:
        prepare([tmp_path / "midi"], PROFILE, folder, jobs=1)
    assert "make room" in caught.value.hint
    assert before["manifest.json"] == contents(folder)["manifest.json"]
    assert sum(size.pieces for size in open_dataset(folder).splits.values()) == 30
    filler.unlink()
    whole = prepare([tmp_path / "midi"], PROFILE, tmp_path / "whole", jobs=1)
    result = prepare([tmp_path / "midi"], PROFILE, folder, jobs=1)
    assert result.prepared == whole.prepared == 90
    assert not list(folder.rglob(".*.tmp"))


def test_a_clock_that_goes_backwards(library, folder, monkeypatch):
    """Files seem to come from the future: they are looked at again, and nothing is encoded again or missed."""
    prepare([library], PROFILE, folder, jobs=1)
    before = contents(folder)
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000_000_000_000)
    result = prepare([library], make_profile("prepare.min_notes=1", "prepare.cache_gb=1"), folder, jobs=1)
    assert result.new == 0
    changed = library / "part-0" / "tune-000.mid"
    changed.write_bytes((library / "part-1" / "tune-001.mid").read_bytes() + b"more")
    os.utime(changed, (900_000_000, 900_000_000))
    result = prepare([library], PROFILE, folder, jobs=1)
    assert (result.new, result.removed) == (1, 1)
    monkeypatch.undo()
    changed.write_bytes(tune(0))
    os.utime(changed, (1_600_000_000, 1_600_000_000))
    prepare([library], PROFILE, folder, jobs=1)
    assert contents(folder).keys() & before.keys() >= {"manifest.json", "audit.json"}
    assert sum(size.pieces for size in open_dataset(folder).splits.values()) == 60


def test_what_a_killed_run_left_is_used_after_the_folder_has_changed(library, folder, tmp_path):
    assert run_and_kill(library, folder, lambda: len(shards(folder)) >= 5)
    before = shards(folder)
    write_tunes(library, 10, first=100)
    result = prepare([library], PROFILE, folder, jobs=2)
    assert result.prepared == 70
    assert result.reused > 0
    assert before.items() <= shards(folder).items()


@pytest.mark.parametrize(
    "moment", ["aurl.data.audit.audit", "aurl.data.commit.write_manifest", "aurl.data.audit.write"]
)
def test_a_death_while_committing_leaves_the_data_set_as_it_was(library, folder, monkeypatch, moment):
    prepare([library], PROFILE, folder, jobs=1)
    before = contents(folder)
    write_tunes(library, 5, first=100)

    def die(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(moment, die)
    with pytest.raises(KeyboardInterrupt):
        prepare([library], PROFILE, folder, jobs=1)
    monkeypatch.undo()
    assert before["manifest.json"] == contents(folder)["manifest.json"]
    assert sum(size.pieces for size in open_dataset(folder).splits.values()) == 60
    result = prepare([library], PROFILE, folder, jobs=1)
    assert (result.prepared, result.new) == (65, 0)


CRASH, HANG, BOMB, FAULT = range(20, 24)


def harm() -> PreprocessStep:
    """A step that does harm when a piece begins on one of four very low notes."""

    def harm_by_pitch(score):
        pitch = int(score.tracks[0].notes.pitch[0])
        if pitch == CRASH:
            faulthandler.disable()  # pytest's would print a traceback
            os.kill(os.getpid(), signal.SIGSEGV)
        if pitch == HANG:
            time.sleep(100)
        if pitch == BOMB:
            bytearray(2**40)
        if pitch == FAULT:
            raise ZeroDivisionError("a fault in the code")
        return Preprocessed(score)

    return PreprocessStep(harm_by_pitch)


def test_poison_files_cost_only_themselves(library, folder, monkeypatch, tmp_path):
    monkeypatch.setitem(PREPROCESS._factories, "harm", harm)
    monkeypatch.setattr("aurl.data.workers.engine.START_METHOD", "fork")  # so that workers know the kind
    for pitch in (CRASH, HANG, BOMB, FAULT):
        write_file(library / "part-1" / f"tune-{pitch}b.mid", smf([(0, 480, pitch, 64), (480, 480, 60, 64)]))
    profile = make_profile(
        'prepare.preprocess=[{kind="harm"}]', "prepare.timeout_seconds=1", "prepare.shard_tokens=20000"
    )
    result = prepare([library], profile, folder, jobs=2)
    assert (result.files, result.prepared, result.rejected) == (64, 60, 4)
    names = {reason: [Path(path).name for path in reject.examples] for reason, reject in result.rejects.items()}
    assert names == {
        "crash": [f"tune-{CRASH}b.mid", f"tune-{FAULT}b.mid"],
        "timeout": [f"tune-{HANG}b.mid"],
        "memory": [f"tune-{BOMB}b.mid"],
    }
    assert prepare([library], profile, folder, jobs=2).unchanged
    patient = make_profile(
        'prepare.preprocess=[{kind="harm"}]', "prepare.timeout_seconds=1.5", "prepare.shard_tokens=20000"
    )
    again = prepare([library], patient, folder, jobs=2)
    assert (again.new, again.prepared, again.rejected) == (4, 60, 4), (
        "other limits try costly files again, and no others"
    )


def test_a_lost_or_damaged_index_is_taken_from_the_shards(library, folder):
    prepare([library], PROFILE, folder, jobs=1)
    (library / "part-0" / "tune-000.mid").unlink()
    prepare([library], PROFILE, folder, jobs=1)
    expected = open_dataset(folder).splits
    whole = (folder / "index.sqlite").read_bytes()
    scratched = bytes([*whole[:100], *b"\xff" * 3000, *whole[3100:]])
    for number, damaged in enumerate((None, b"", whole[:5000], b"no database" * 1000, scratched)):
        (folder / "index.sqlite").unlink()
        if damaged is not None:
            (folder / "index.sqlite").write_bytes(damaged)
        assert open_dataset(folder).splits == expected
        write_tunes(library, 1, first=200 + number)
        result = prepare([library], PROFILE, folder, jobs=1)
        assert result.new == 1
        expected = open_dataset(folder).splits
        with sqlite3.connect(folder / "index.sqlite") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_shards_of_a_killed_run_that_lost_their_content_are_made_again(library, folder, tmp_path, monkeypatch):
    """After the death of the machine, what was not yet on the disk may be zeros."""
    prepare([library], PROFILE, tmp_path / "whole", jobs=1)
    prepare([library], PROFILE, folder, jobs=1)
    for name in ("manifest.json", "index.sqlite", "audit.json"):
        (folder / name).unlink()
    paths = sorted((folder / "shards").glob("*.safetensors"))
    for path, keep in zip(paths[:3], (0, 0.5, 0.9), strict=True):
        content = path.read_bytes()
        kept = int(len(content) * keep)
        path.write_bytes(content[:kept] + bytes(len(content) - kept))
    result = prepare([library], PROFILE, folder, jobs=1)
    assert 0 < result.new < 60
    assert contents(folder) == contents(tmp_path / "whole")


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_lost_or_cut_shard_is_noticed_and_made_again(library, folder, damage):
    prepare([library], PROFILE, folder, jobs=1)
    before = contents(folder)
    reader = PieceReader(folder, "train")
    name = reader.columns.shards[0]
    damage(folder / "shards" / f"{name}.safetensors")
    with pytest.raises(DamagedError, match=name):
        reader.piece(0)
    result = prepare([library], PROFILE, folder, jobs=1)
    assert 0 < result.new < 60
    assert contents(folder) == before


def test_a_damaged_manifest_is_said_and_made_again(library, folder):
    prepare([library], PROFILE, folder, jobs=1)
    before = contents(folder)
    text = (folder / "manifest.json").read_text()
    strange = text.replace('"shards": [', '"shards": [7, ')
    newer = text.replace('"version": 2', '"version": 99')
    for damaged in ("", "{}", text[:-9], strange, newer):
        (folder / "manifest.json").write_text(damaged)
        with pytest.raises(DamagedError, match="manifest"):
            open_dataset(folder)
        result = prepare([library], PROFILE, folder, jobs=1)
        assert result.new == 0, "the shards are still there"
        assert contents(folder) == before
    assert read_manifest(folder).version == 2


def test_a_manifest_cannot_name_files_elsewhere(library, folder):
    prepare([library], PROFILE, folder, jobs=1)
    name = read_manifest(folder).shards[0].name
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace(name, "../../" + name))
    with pytest.raises(DamagedError, match="name"):
        open_dataset(folder)

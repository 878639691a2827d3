"""What harms a cache from outside: kills, full disks, flipped bits, other processes."""

import errno
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from tests.support.shards import content_of, make_shard

from aurl.data.cache import TokenCache
from aurl.data.cache.shelf import is_whole_shard
from aurl.data.records import Record
from aurl.data.shards import write_shard
from aurl.errors import AurlError, LockedError
from aurl.progress import Interrupts

SEEDS = range(6)
SCRIPT = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from aurl.data.cache import TokenCache
from aurl.errors import LockedError
paths = sorted(Path({source!r}).glob("*.safetensors"))
with TokenCache(Path({folder!r}), max_bytes=0) as cache:
    print("begun", flush=True)
    for turn in range({turns}):
        for path in paths[turn % 2 :: 2]:
            cache.add(path)
            assert cache.find({signature!r}, [b"0" * 32]) == {{}}
            cache.fetch(path.stem, Path({into!r}))
        try:
            cache.prune(20_000)
        except LockedError:
            pass
"""


@pytest.fixture
def shards(folder, recipe):
    """Six shards of one tune each, which no data set has."""
    paths = [make_shard(folder, [seed], recipe) for seed in SEEDS]
    shutil.copytree(folder / "shards", folder.parent / "node2" / "shards")
    return [folder.parent / "node2" / "shards" / path.name for path in paths]


@pytest.fixture
def filled(cache, shards):
    for path in shards:
        cache.add(path)
    cache.close()
    return cache.folder


def truth(shards):
    return {path.stem: {content_of(seed)} for path, seed in zip(shards, SEEDS, strict=True)}


def everything(cache, recipe):
    return cache.find(recipe.signature, [content_of(seed) for seed in SEEDS])


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.unlink()  # not the file that others link
    path.write_bytes(content)


@pytest.mark.parametrize("seed", range(24))
def test_a_flipped_bit_in_a_shard_is_found_and_the_shard_is_not_handed_out(filled, shards, recipe, tmp_path, seed):
    rng = random.Random(seed)
    victim = rng.choice(shards)
    whole = victim.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    flip(filled / "shards" / victim.name, rng.randrange(8 * (header if seed % 2 else len(whole))))
    with TokenCache(filled, max_bytes=0) as cache:
        found = cache.verify()
        assert found.shards == len(shards)
        assert [(damage.path.name, damage.mended) for damage in found.damage] == [(victim.name, "")]
        if cache.fetch(victim.stem, tmp_path / "other"):
            assert (tmp_path / "other" / victim.name).read_bytes()[header:] == whole[header:]
        cache.verify(repair=True)
        assert cache.verify().damage == ()
        cache.add(victim)
        cache.verify(repair=True)
        assert everything(cache, recipe).items() <= truth(shards).items()


def test_whoever_is_asked_to_stop_looks_at_no_further_shard(filled, shards):
    stopping = Interrupts()
    stopping.stop = signal.SIGINT
    with TokenCache(filled, max_bytes=0) as cache:
        assert cache.verify(interrupts=stopping).shards == 1
        assert cache.verify().shards == len(shards)


def test_repair_removes_damaged_shards_and_says_so(filled, shards, recipe):
    flip(filled / "shards" / shards[0].name, 8 * shards[0].stat().st_size - 1)
    with TokenCache(filled, max_bytes=0) as cache:
        (damage,) = cache.verify(repair=True).damage
        assert "checksum" in damage.fault
        assert "removed" in damage.mended
        assert everything(cache, recipe).keys() == truth(shards).keys() - {shards[0].stem}
        cache.add(shards[0])
        assert everything(cache, recipe) == truth(shards)


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_in_the_index_costs_nothing_but_its_repair(filled, shards, recipe, tmp_path, seed):
    path = filled / "index.sqlite"
    flip(path, random.Random(seed).randrange(8 * path.stat().st_size))
    with TokenCache(filled, max_bytes=2**30) as cache:
        for name in everything(cache, recipe):
            cache.fetch(name, tmp_path / "other")
        for copy in (tmp_path / "other").glob("*"):
            assert is_whole_shard(copy)
        cache.stats()
        for shard in shards[:2]:
            cache.add(shard)
        shutil.rmtree(tmp_path / "other", ignore_errors=True)
        cache.trim()
        cache.verify(repair=True)
        assert cache.verify().damage == ()
        assert everything(cache, recipe) == truth(shards)
        assert len(cache.stats().recipes) == 1


@pytest.mark.parametrize("damage", [None, b"", b"no database" * 1000, "cut", "other version"])
def test_an_index_that_is_of_no_use_is_made_again_from_the_shards(filled, shards, recipe, damage, caplog):
    path = filled / "index.sqlite"
    content = path.read_bytes()
    path.unlink()
    if damage == "other version":
        path.write_bytes(content)
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    elif damage is not None:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else damage)
    (filled / "shards" / f"{1:032x}.safetensors").write_bytes(b"half of something")
    with TokenCache(filled, max_bytes=0) as cache:
        assert everything(cache, recipe) == truth(shards)
    assert ("made again" in caplog.text) == bool(damage)


def test_an_index_that_loses_its_content_while_it_is_open_is_made_again(filled, shards, recipe):
    for use in (TokenCache.trim, lambda cache: everything(cache, recipe), TokenCache.stats):
        with TokenCache(filled, max_bytes=2**30) as cache:
            cache._index._connection.execute("PRAGMA journal_mode = DELETE")
            with (filled / "index.sqlite").open("rb+") as file:
                file.truncate(5000)
            assert cache.verify().damage[0].path == filled / "index.sqlite"
            use(cache)
            assert everything(cache, recipe) == truth(shards)
            assert cache.verify().damage == ()


def test_a_disk_that_is_full_while_a_shard_is_copied_leaves_nothing(cache, shards, recipe, monkeypatch):
    def no_link(*_, **__):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    def full(source, target):
        target.write(source.read(100))
        raise OSError(errno.ENOSPC, "No space left on device")

    cache.add(shards[0])
    monkeypatch.setattr(os, "link", no_link)
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(AurlError, match="No space left") as caught:
        cache.add(shards[1])
    assert "make room" in caught.value.hint
    with pytest.raises(AurlError, match="No space left"):
        cache.fetch(shards[0].stem, cache.folder.parent / "other")
    monkeypatch.undo()
    assert everything(cache, recipe) == {shards[0].stem: {content_of(0)}}
    assert [path.name for path in (cache.folder / "shards").iterdir()] == [shards[0].name]
    assert list((cache.folder.parent / "other").iterdir()) == []
    cache.add(shards[1])
    assert len(everything(cache, recipe)) == 2


def test_a_disk_that_is_full_for_the_index_leaves_it_as_it_was(cache, shards, recipe, tmp_path):
    cache.add(shards[0])
    rejected = [Record(f"/{n}.mid", f"{n:064x}", 1, reason="no_notes") for n in range(3000)]
    large = tmp_path / f"{7:032x}.safetensors"
    write_shard(large, [], rejected, recipe.signature)
    connection = cache._index._connection
    connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")
    for _ in range(2):
        with pytest.raises(AurlError, match="full"):
            cache.add(large)
        assert everything(cache, recipe) == {shards[0].stem: {content_of(0)}}
    connection.execute("PRAGMA max_page_count = 1000000")
    cache.trim()
    assert cache.verify().damage == ()
    assert len(cache.find(recipe.signature, [bytes.fromhex(record.sha256) for record in rejected])[large.stem]) == 3000


def test_an_index_that_cannot_be_opened_is_said(cache):
    cache.close()
    (cache.folder / "index.sqlite").unlink()
    (cache.folder / "index.sqlite").mkdir()
    with pytest.raises(AurlError, match="unable to open"):
        TokenCache(cache.folder, max_bytes=0)


def test_another_process_that_writes_for_too_long_is_said(filled, shards, monkeypatch):
    monkeypatch.setattr("aurl.data.cache.index.BUSY_SECONDS", 0.05)
    with TokenCache(filled, max_bytes=0) as cache, sqlite3.connect(filled / "index.sqlite") as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LockedError, match="in use"):
            cache.add(shards[0])
        other.rollback()
        cache.add(shards[0])
    other.close()


def test_a_shard_that_vanishes_on_its_way_is_not_there(filled, shards, tmp_path, monkeypatch):
    def vanish(source, target):
        source.unlink()
        raise FileNotFoundError(source)

    monkeypatch.setattr(os, "link", vanish)
    with TokenCache(filled, max_bytes=0) as cache:
        assert not cache.fetch(shards[0].stem, tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []


def test_a_copy_that_comes_out_wrong_is_not_handed_out(filled, shards, tmp_path, monkeypatch):
    def no_link(*_, **__):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    def wrong(source, target):
        target.write(source.read()[:-1] + b"?")

    monkeypatch.setattr(os, "link", no_link)
    monkeypatch.setattr(shutil, "copyfileobj", wrong)
    with TokenCache(filled, max_bytes=0) as cache:
        assert not cache.fetch(shards[0].stem, tmp_path / "other")
        assert list((tmp_path / "other").iterdir()) == []
        monkeypatch.undo()
        assert cache.fetch(shards[0].stem, tmp_path / "other")


def script(tmp_path, shards, recipe, *, turns, name):
    path = tmp_path / f"{name}.py"
    facts = {"source": str(shards[0].parent), "folder": str(tmp_path / "cache"), "into": str(tmp_path / name)}
    path.write_text(SCRIPT.format(path=sys.path, signature=recipe.signature, turns=turns, **facts))
    return subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_kills_at_random_moments_leave_a_cache_that_goes_on(shards, recipe, tmp_path):
    killed = 0
    for number in range(8):
        process = script(tmp_path, shards, recipe, turns=10_000, name="killed")
        assert process.stdout.readline() == "begun\n"
        time.sleep(random.Random(number).uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        with TokenCache(tmp_path / "cache", max_bytes=2**30) as cache:
            assert everything(cache, recipe).items() <= truth(shards).items()
            for path in (tmp_path / "cache" / "shards").glob("[!.]*"):
                assert is_whole_shard(path)
    assert killed == 8
    with TokenCache(tmp_path / "cache", max_bytes=2**30) as cache:
        cache.trim()
        assert cache.verify().damage == ()
        assert {path.name for path in (tmp_path / "cache" / "shards").iterdir()} <= {path.name for path in shards}
        for path in shards:
            cache.add(path)
        assert everything(cache, recipe) == truth(shards)


def test_processes_that_add_fetch_and_prune_at_once(shards, recipe, tmp_path):
    processes = [script(tmp_path, shards, recipe, turns=30, name=f"worker-{number}") for number in range(3)]
    for process in processes:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
    with TokenCache(tmp_path / "cache", max_bytes=2**30) as cache:
        cache.trim()
        assert cache.verify().damage == ()
        assert everything(cache, recipe).items() <= truth(shards).items()
    for number in range(3):
        for path in (tmp_path / f"worker-{number}").iterdir():
            assert is_whole_shard(path)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 200 kB, where there may be one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(not shutil.which("mount"), reason="there is no mount command")
def test_a_small_disk_fills_up(small_disk, folder, recipe):
    paths = [make_shard(folder, range(10 * number, 10 * number + 10), recipe) for number in range(8)]
    added = []
    with TokenCache(small_disk / "cache", max_bytes=0) as cache:
        with pytest.raises(AurlError, match=r"[Nn]o space|full"):  # noqa: PT012
            for path in paths * 3:
                cache.add(path)
                added.append(path)
        for path in added[:-1]:
            assert is_whole_shard(cache.path(path.stem))
        assert cache.prune(0).shards >= len(set(added))
        assert list((small_disk / "cache" / "shards").iterdir()) == []
        cache.add(paths[0])
        assert cache.fetch(paths[0].stem, folder / "back")
        assert cache.verify().damage == ()

"""Shards go in and come out whole, the longest unused leave first, and what data sets hold stays."""

import hashlib
import os
import shutil
import sqlite3
import time

import pytest
from tests.support.datasets import make_profile
from tests.support.shards import content_of, make_shard

from aurl.data.cache import CacheStats, RecipeStats, TokenCache
from aurl.data.cache.index import CacheIndex, Facts, prefer_wal
from aurl.data.prepare import recipe_of
from aurl.data.records import Record
from aurl.data.shards import Shard, write_shard
from aurl.errors import AurlError, DamagedError, LockedError, NotFoundError
from aurl.storage import lock


@pytest.fixture
def shards(folder, recipe):
    """Three shards of two tunes each."""
    return [make_shard(folder, (2 * number, 2 * number + 1), recipe) for number in range(3)]


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name[0] != ".")


def let_go(folder):
    """Let no data set hold the shards any more."""
    shutil.rmtree(folder)


class TestFind:
    def test_tells_which_shard_holds_which_content(self, cache, shards, recipe):
        for path in shards:
            cache.add(path)
        wanted = [content_of(seed) for seed in (1, 2, 3, 99)]
        assert cache.find(recipe.signature, wanted) == {
            shards[0].stem: {content_of(1)},
            shards[1].stem: {content_of(2), content_of(3)},
        }
        assert cache.find(recipe.signature, wanted[:1]) == {shards[0].stem: {content_of(1)}}
        assert cache.find(recipe.signature, []) == {}

    def test_knows_only_shards_of_the_recipe(self, cache, shards, folder, recipe):
        cache.add(shards[0])
        other = recipe_of(make_profile("prepare.min_notes=2"))
        assert cache.find(other.signature, [content_of(0)]) == {}
        path = make_shard(folder, (0, 1), other)
        cache.add(path)
        assert cache.find(other.signature, [content_of(0)]) == {path.stem: {content_of(0)}}
        assert cache.find(recipe.signature, [content_of(0)]) == {shards[0].stem: {content_of(0)}}

    def test_a_content_may_be_in_several_shards(self, cache, shards, folder, recipe):
        second = make_shard(folder, (1, 7), recipe)
        for path in (shards[0], second):
            cache.add(path)
        assert cache.find(recipe.signature, [content_of(1)]) == {
            shards[0].stem: {content_of(1)},
            second.stem: {content_of(1)},
        }

    def test_rejected_files_are_known_but_not_those_that_other_limits_may_take(self, cache, tmp_path):
        reasons = dict(enumerate(("no_notes", "timeout", "memory", "crash", "too_large")))
        digests = {number: hashlib.sha256(bytes([number])) for number in reasons}
        rejected = [Record(f"/{n}.mid", digests[n].hexdigest(), 1, reason=reason) for n, reason in reasons.items()]
        path = tmp_path / f"{0:032x}.safetensors"
        write_shard(path, [], rejected, "made so")
        cache.add(path)
        wanted = [digest.digest() for digest in digests.values()]
        assert cache.find("made so", wanted) == {path.stem: {wanted[0]}}

    def test_three_hundred_thousand_contents(self, tmp_path):
        """Against a plain dictionary; every third content is known, in 150 shards of two recipes."""
        digests = [hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(300_000)]
        expected = {}
        index = CacheIndex(tmp_path / "index.sqlite")
        index.build(())
        with index.transaction():
            for number in range(150):
                held = digests[number * 2000 : (number + 1) * 2000 : 3]
                index.add(f"{number:032x}", Facts("ab"[number % 2], frozenset(held)))
                if number % 2 == 0:
                    expected[f"{number:032x}"] = frozenset(held)
        assert index.find("a", digests) == expected
        assert index.find("a", digests) == expected, "the list of the first call is gone"
        index.close()


class TestFetch:
    def test_is_a_hard_link_where_there_can_be_one(self, cache, shards, tmp_path):
        cache.add(shards[0])
        assert cache.fetch(shards[0].stem, tmp_path / "other")
        assert shards[0].samefile(tmp_path / "other" / shards[0].name)

    def test_is_a_copy_elsewhere(self, cache, shards, tmp_path, monkeypatch):
        def no_link(*_, **__):
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr(os, "link", no_link)
        cache.add(shards[0])
        assert cache.fetch(shards[0].stem, tmp_path / "other")
        copies = [cache.path(shards[0].stem), tmp_path / "other" / shards[0].name]
        for path in copies:
            assert path.read_bytes() == shards[0].read_bytes()
            assert path.stat().st_nlink == 1

    def test_of_what_is_not_there_is_false(self, cache, tmp_path):
        for name in ("0" * 32, "../../etc/passwd", "", "x"):
            assert not cache.fetch(name, tmp_path / "other")
        assert not (tmp_path / "other").exists()

    def test_of_a_file_that_vanished_is_false_and_it_is_forgotten(self, cache, shards, recipe, tmp_path):
        cache.add(shards[0])
        cache.path(shards[0].stem).unlink()
        assert not cache.fetch(shards[0].stem, tmp_path / "other")
        assert cache.find(recipe.signature, [content_of(0)]) == {}

    def test_a_whole_shard_that_is_there_stays(self, cache, shards, tmp_path):
        cache.add(shards[0])
        (tmp_path / "other").mkdir()
        shutil.copy(shards[0], tmp_path / "other")
        before = (tmp_path / "other" / shards[0].name).stat().st_ino
        assert cache.fetch(shards[0].stem, tmp_path / "other")
        assert (tmp_path / "other" / shards[0].name).stat().st_ino == before

    def test_a_damaged_one_that_is_there_is_replaced(self, cache, shards, tmp_path):
        cache.add(shards[0])
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / shards[0].name).write_bytes(b"half")
        assert cache.fetch(shards[0].stem, tmp_path / "other")
        assert (tmp_path / "other" / shards[0].name).read_bytes() == shards[0].read_bytes()


class TestAdd:
    def test_takes_no_space_while_the_data_set_has_the_shard(self, cache, shards):
        cache.add(shards[0])
        assert shards[0].samefile(cache.path(shards[0].stem))

    def test_refuses_what_is_not_whole(self, cache, shards):
        shards[0].write_bytes(shards[0].read_bytes()[:-1])
        with pytest.raises(DamagedError):
            cache.add(shards[0])
        assert names(cache.folder / "shards") == []

    def test_refuses_records_of_nothing(self, cache, tmp_path):
        path = tmp_path / f"{7:032x}.safetensors"
        write_shard(path, [], [Record("/a.mid", "no checksum", 1, reason="no_notes")], "made so")
        with pytest.raises(DamagedError, match="without a checksum"):
            cache.add(path)

    def test_a_known_shard_stays(self, cache, shards, folder, recipe):
        cache.add(shards[0])
        before = shards[0].stat().st_ino
        again = make_shard(folder.parent / "elsewhere" / "deep", (0, 1), recipe)
        assert again.name == shards[0].name
        cache.add(again)
        assert cache.path(again.stem).stat().st_ino == before

    def test_a_damaged_one_is_replaced(self, cache, shards, folder, recipe):
        cache.add(shards[0])
        content = shards[0].read_bytes()
        with shards[0].open("rb+") as file:  # the cache has the same file
            file.seek(-1, os.SEEK_END)
            file.write(bytes([content[-1] ^ 1]))
        again = make_shard(folder.parent / "elsewhere" / "deep", (0, 1), recipe)
        cache.add(again)
        assert again.samefile(cache.path(again.stem))

    def test_one_that_holds_more_replaces_what_had_a_gap(self, cache, tmp_path):
        """A file that could not be read leaves a gap in a shard that is named by what was planned."""
        records = [Record(f"/{n}.mid", f"{n:064x}", 1, reason="no_notes") for n in range(3)]
        for number, held in enumerate((records[:2], records, records[:1])):
            (tmp_path / str(number)).mkdir()
            path = tmp_path / str(number) / f"{7:032x}.safetensors"
            write_shard(path, [], held, "made so")
            cache.add(path)
        wanted = [bytes.fromhex(record.sha256) for record in records]
        assert cache.find("made so", wanted) == {f"{7:032x}": frozenset(wanted)}
        assert Shard(cache.path(f"{7:032x}")).record_count == 3


class TestTrim:
    def fill(self, folder, shards, *, max_bytes=0):
        cache = TokenCache(folder, max_bytes=max_bytes)
        for path in shards:
            cache.add(path)
        return cache

    def test_the_longest_unused_leave_first(self, cache, shards, folder, tmp_path):
        for path in shards:
            cache.add(path)
        sizes = {path.stem: path.stat().st_size for path in shards}
        assert cache.fetch(shards[0].stem, tmp_path / "other")
        let_go(folder)
        let_go(tmp_path / "other")
        done = cache.prune(sum(sizes.values()) - 1)
        assert (done.shards, done.bytes) == (1, sizes[shards[1].stem])
        assert names(cache.folder / "shards") == sorted((shards[0].name, shards[2].name))
        assert cache.prune(sizes[shards[0].stem]).shards == 1
        assert names(cache.folder / "shards") == [shards[0].name]
        assert cache.prune(sizes[shards[0].stem]).shards == 0

    def test_adding_again_counts_as_use(self, cache, shards, folder):
        for path in (*shards, shards[0]):
            cache.add(path)
        let_go(folder)
        cache.prune(cache.path(shards[0].stem).stat().st_size)
        assert names(cache.folder / "shards") == [shards[0].name]

    def test_what_a_data_set_holds_stays_and_costs_nothing(self, shards, folder, tmp_path):
        with self.fill(tmp_path / "cache", shards) as cache:
            assert cache.trim().shards == 0
            assert len(names(cache.folder / "shards")) == 3
            shards[1].unlink()
            assert cache.trim().shards == 1
            assert shards[1].name not in names(cache.folder / "shards")

    def test_the_limit_of_the_cache_counts(self, shards, folder, tmp_path):
        with self.fill(tmp_path / "cache", shards, max_bytes=sum(path.stat().st_size for path in shards[1:])) as cache:
            let_go(folder)
            assert cache.trim().shards == 1
            assert cache.trim().shards == 0

    def test_use_is_counted_although_the_clock_goes_backwards(self, cache, shards, folder, monkeypatch):
        now = iter(range(10_000, 0, -1000))
        monkeypatch.setattr(time, "time", lambda: float(next(now)))
        for path in shards:
            cache.add(path)
        let_go(folder)
        cache.prune(cache.path(shards[2].stem).stat().st_size)
        assert names(cache.folder / "shards") == [shards[2].name]

    def test_what_killed_processes_left_is_cleared_away(self, cache, shards, recipe):
        cache.add(shards[0])
        half = cache.folder / "shards" / f".{shards[1].name}.123-abc.tmp"
        half.write_bytes(b"half")
        shutil.copy(shards[2], cache.folder / "shards")  # taken in, but the index was not told
        (cache.folder / "shards" / f"{1:032x}.safetensors").write_bytes(b"nothing of the kind")
        cache.trim()
        assert names(cache.folder / "shards") == sorted((shards[0].name, shards[2].name))
        assert not half.exists()
        assert cache.find(recipe.signature, [content_of(4)]) == {shards[2].stem: {content_of(4)}}

    def test_somebody_else_who_trims_is_named(self, cache):
        with lock(cache.folder / ".lock"), pytest.raises(LockedError, match="process"):
            cache.trim()

    def test_clear_leaves_nothing_but_what_data_sets_have(self, cache, shards, folder):
        for path in shards:
            cache.add(path)
        shards[0].unlink()
        done = cache.clear()
        assert done.shards == 3
        assert 0 < done.bytes < sum(path.stat().st_size for path in shards[1:])
        assert names(cache.folder / "shards") == []
        assert shards[1].exists()
        assert cache.stats().recipes == ()


def test_stats_tell_own_from_shared(cache, shards, folder, recipe, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    other = recipe_of(make_profile("prepare.min_notes=2"))
    extra = make_shard(folder, (8,), other)
    for path in (*shards, extra):
        cache.add(path)
    sizes = [path.stat().st_size for path in (*shards, extra)]
    shards[0].unlink()
    assert cache.stats() == CacheStats(
        folder=cache.folder,
        max_bytes=cache.max_bytes,
        own_shards=1,
        own_bytes=sizes[0],
        shared_shards=3,
        shared_bytes=sum(sizes[1:]),
        recipes=(
            RecipeStats(other.signature, 1, sizes[3], 1, 1000.0),
            RecipeStats(recipe.signature, 3, sum(sizes[:3]), 6, 1000.0),
        ),
    )


class TestMerge:
    def test_takes_in_another_nodes_cache(self, cache, shards, recipe, tmp_path):
        with TokenCache(tmp_path / "node2", max_bytes=0) as other:
            for path in shards:
                other.add(path)
        cache.add(shards[0])
        merged = cache.merge(tmp_path / "node2")
        assert (merged.added, merged.known, merged.damage) == (2, 1, ())
        assert cache.find(recipe.signature, [content_of(seed) for seed in range(6)]).keys() == {p.stem for p in shards}

    def test_takes_in_a_data_set_and_passes_over_what_is_damaged(self, cache, shards, folder, tmp_path):
        shards[1].write_bytes(shards[1].read_bytes()[:-9])
        (folder / "shards" / "notes.safetensors").write_bytes(b"not ours")
        reports = []
        merged = cache.merge(folder, report=reports.append)
        assert (merged.added, merged.known) == (2, 0)
        assert [damage.path for damage in merged.damage] == [shards[1]]
        assert names(cache.folder / "shards") == sorted((shards[0].name, shards[2].name))
        assert (reports[-1].done, reports[-1].total) == (3, 3)

    def test_a_folder_without_shards_is_not_found(self, cache, tmp_path):
        with pytest.raises(NotFoundError, match="no folder shards"):
            cache.merge(tmp_path)


def test_the_journal_is_one_that_the_file_system_can_have(tmp_path):
    for vfs, mode in (("unix", "wal"), ("unix-dotfile", "delete")):
        path = tmp_path / vfs
        with sqlite3.connect(f"file:{path}?vfs={vfs}", uri=True) as connection:
            assert prefer_wal(connection) == mode
            connection.execute("CREATE TABLE t (x)")
        connection.close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AurlError, match="cannot be used") as caught:
        TokenCache(tmp_path / "file" / "cache", max_bytes=0)
    assert "AURL_CACHE" in caught.value.hint

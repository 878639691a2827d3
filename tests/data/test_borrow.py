"""What one data set has finished, another one takes from the token cache."""

import hashlib
import logging
import shutil

import pytest
from tests.support.datasets import contents, make_profile
from tests.support.midi_files import tune, write_file, write_tunes

from aurl.data.borrow import borrow, put_away
from aurl.data.cache import TokenCache
from aurl.data.dataset import open_dataset
from aurl.data.prepare import prepare, recipe_of
from aurl.storage import lock

PROFILE = make_profile()


@pytest.fixture
def library(tmp_path):
    write_tunes(tmp_path / "midi", 40)
    write_file(tmp_path / "midi" / "broken.mid", b"MThd, but no more")
    return tmp_path / "midi"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def ids(folder):
    return {
        record.sha256: piece.tobytes()
        for split in ("train", "valid", "test")
        for piece, record in zip(open_dataset(folder).pieces(split), open_dataset(folder).records(split), strict=True)
    }


def test_the_same_files_are_encoded_once(library, cache, tmp_path):
    first = prepare([library], PROFILE, tmp_path / "first", jobs=1, cache=cache)
    again = prepare([library], PROFILE, tmp_path / "again", jobs=1, cache=cache)
    assert (first.new, again.new, again.reused) == (41, 0, 41)
    assert contents(tmp_path / "again") == contents(tmp_path / "first")
    shards = [
        sorted(path.stat().st_ino for path in tmp_path.glob(f"{name}/shards/*.saf*")) for name in ("first", "again")
    ]
    assert shards[0] == shards[1], "they are links, and cost no room"


def test_settings_changed_and_changed_back(library, cache, tmp_path):
    other = make_profile("tokens.parts=false")
    prepare([library], PROFILE, tmp_path / "dataset", jobs=1, cache=cache)
    before = contents(tmp_path / "dataset")
    assert prepare([library], other, tmp_path / "dataset", jobs=1, cache=cache).new == 41
    assert prepare([library], PROFILE, tmp_path / "dataset", jobs=1, cache=cache).new == 0
    assert contents(tmp_path / "dataset") == before


def test_few_files_of_many_shards_are_copied_piece_by_piece(library, cache, tmp_path):
    whole = make_profile("prepare.shard_tokens=20000")
    prepare([library], whole, tmp_path / "whole", jobs=1, cache=cache)
    few = [*sorted(library.glob("*/*.mid"))[::7], library / "broken.mid"]
    result = prepare(few, whole, tmp_path / "few", jobs=1, cache=cache)
    assert (result.new, result.reused, result.rejected) == (0, len(few), 1)
    expected = prepare(few, whole, tmp_path / "plain", jobs=1)
    assert expected.new == len(few)
    assert contents(tmp_path / "few") == contents(tmp_path / "plain")


def test_moved_files_are_known_by_where_they_are_now(library, cache, tmp_path):
    prepare([library], PROFILE, tmp_path / "first", jobs=1, cache=cache)
    library.rename(tmp_path / "moved")
    result = prepare([tmp_path / "moved"], PROFILE, tmp_path / "again", jobs=1, cache=cache)
    assert result.new == 0
    (reject,) = result.rejects.values()
    assert reject.examples == (str(tmp_path / "moved" / "broken.mid"),)


def test_damaged_and_lost_shards_of_the_cache_cost_only_time(library, cache, tmp_path):
    prepare([library], PROFILE, tmp_path / "first", jobs=1, cache=cache)
    expected = contents(tmp_path / "first")
    paths = sorted(cache.rglob("*.safetensors"))
    for path in paths[::2]:
        content = bytearray(path.read_bytes())
        path.unlink()  # the data set's own link stays whole
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    paths[1].unlink()
    result = prepare([library], PROFILE, tmp_path / "again", jobs=1, cache=cache)
    assert 0 < result.new < 41
    assert ids(tmp_path / "again") == ids(tmp_path / "first")
    assert contents(tmp_path / "first") == expected


def test_no_cache_keeps_nothing(library, cache, tmp_path):
    prepare([library], make_profile("prepare.cache_gb=0"), tmp_path / "first", jobs=1, cache=cache)
    assert not list(cache.rglob("*.safetensors"))


def test_a_cache_that_cannot_be_used_is_done_without(library, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert prepare([library], PROFILE, tmp_path / "first", jobs=1, cache=blocked).prepared == 40


def test_costly_rejections_of_others_are_tried_again(cache, tmp_path):
    """Another data set may have more time, memory or room for one file; each timeout costs a worker."""
    library = tmp_path / "few"
    write_tunes(library, 5)
    write_file(library / "long.mid", tune(7, notes=4000))
    strict = make_profile("prepare.timeout_seconds=0.000001")
    refused = prepare([library], strict, tmp_path / "hasty", jobs=1, cache=cache)
    assert refused.rejects["timeout"].files > 0
    again = prepare([library], PROFILE, tmp_path / "patient", jobs=1, cache=cache)
    assert again.prepared == 6
    assert again.new >= refused.rejects["timeout"].files


def test_the_size_of_the_cache_changes_no_data_set(library, cache, tmp_path):
    prepare([library], PROFILE, tmp_path / "first", jobs=1, cache=cache)
    smaller = make_profile("prepare.cache_gb=0.5")
    assert prepare([library], smaller, tmp_path / "first", jobs=1, cache=cache).unchanged


def test_another_process_that_trims_the_cache_is_not_in_the_way(library, cache, tmp_path):
    with lock(cache / "tokens" / ".lock"):
        first = prepare([library], PROFILE, tmp_path / "first", jobs=1, cache=cache)
    assert prepare([library], PROFILE, tmp_path / "again", jobs=1, cache=cache).reused == first.new == 41


def test_a_cache_that_breaks_while_it_is_open_costs_only_time(library, cache, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    prepare([library], PROFILE, tmp_path / "first", jobs=1, cache=cache)
    wanted = {hashlib.sha256(path.read_bytes()).digest() for path in library.rglob("*.mid")}
    signature, shards = recipe_of(PROFILE).signature, sorted(tmp_path.glob("first/shards/*.safetensors"))
    cut = tmp_path / shards[0].name
    cut.write_bytes(shards[0].read_bytes()[:-1])
    (tmp_path / "again" / "shards").mkdir(parents=True)
    with TokenCache(cache / "tokens", max_bytes=0) as tokens:
        assert tokens.find(signature, wanted)
        index = tokens.folder / "index.sqlite"
        with index.open("rb+") as file:
            file.write(bytes(index.stat().st_size))
        index.unlink()
        index.mkdir()  # nothing can be made again in its place
        assert borrow(tokens, signature, wanted, tmp_path / "again") == {}
        put_away(tokens, [cut, shards[0]])
        shutil.rmtree(index)
    told = [record.getMessage() for record in caplog.records if record.name == "aurl.data.borrow"]
    assert [line.split(":")[0] for line in told] == [
        "the token cache is of no help",
        "not in the token cache",
        "not in the token cache",
        "the token cache was not trimmed",
    ]

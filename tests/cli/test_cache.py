"""`aurl cache stats|verify|prune|clear|path|merge`."""

import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest
from tests.support.datasets import make_profile
from tests.support.midi_files import write_tunes
from tests.support.shards import make_shard

from aurl.data.cache import TokenCache
from aurl.data.prepare import prepare, recipe_of
from aurl.errors import ExitCode
from aurl.storage import lock, write_json

PROFILE = make_profile("prepare.shard_tokens=4000")


@pytest.fixture
def aurl(invoke):
    """The command in this process, which has its imports already."""
    return lambda *args: subprocess.CompletedProcess(args, *invoke(*args))


@pytest.fixture
def cache(environment, tmp_path):
    """Where the token cache is; three shards that nobody else has are in it."""
    environment.setenv("AURL_CACHE", str(tmp_path / "cache"))
    recipe = recipe_of(PROFILE)
    paths = [make_shard(tmp_path / "node2", [seed], recipe) for seed in range(3)]
    with TokenCache(tmp_path / "cache" / "tokens", max_bytes=0) as cache:
        for path in paths:
            cache.add(path)
    shutil.rmtree(tmp_path / "node2")
    return tmp_path / "cache" / "tokens"


@pytest.fixture
def songs(cache, tmp_path):
    """A data set of 24 tunes, of which the cache holds nothing."""
    write_tunes(tmp_path / "songs", 24)
    folder = tmp_path / "home" / "datasets" / "songs"
    prepare([tmp_path / "songs"], PROFILE, folder, jobs=1)
    write_json(folder / "sources.json", [str(tmp_path / "songs")])
    return folder


def shards(folder):
    return sorted((folder / "shards").glob("[!.]*"))


def flip(path):
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_path_follows_the_variable_and_makes_nothing(aurl, environment, tmp_path):
    result = aurl("cache", "path")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{tmp_path / 'user' / '.cache' / 'aurl' / 'tokens'}\n"
    environment.setenv("AURL_CACHE", str(tmp_path / "elsewhere"))
    assert json.loads(aurl("cache", "path", "--json").stdout)["path"] == str(tmp_path / "elsewhere" / "tokens")
    assert not (tmp_path / "elsewhere").exists()


def test_stats_tell_what_is_held(aurl, cache):
    result = aurl("cache", "stats")
    assert (result.returncode, result.stderr) == (0, "")
    assert str(cache) in result.stdout
    told = json.loads(aurl("cache", "stats", "--json").stdout)
    assert told["schema"] == "aurl.cache.stats/1"
    assert (told["own_shards"], told["shared_shards"]) == (3, 0)
    assert told["own_bytes"] == sum(path.stat().st_size for path in shards(cache))
    assert told["max_bytes"] == 20 * 2**30
    assert [recipe["contents"] for recipe in told["recipes"]] == [3]


def test_stats_of_an_empty_cache_and_of_one_with_a_strange_clock(aurl, cache):
    with sqlite3.connect(cache / "index.sqlite") as connection:
        connection.execute("UPDATE shards SET used_at = 1e300")
    connection.close()
    assert "unknown" in aurl("cache", "stats").stdout
    shutil.rmtree(cache)
    result = aurl("cache", "stats")
    assert result.returncode == 0
    assert "last used" not in result.stdout


def test_prune_takes_the_limit_of_the_profile_or_the_one_that_is_given(aurl, cache, environment):
    assert "removed 0 shards" in aurl("cache", "prune").stdout
    assert "removed 0 shards" in aurl("cache", "prune", "--max-gb", "inf").stdout
    largest = max(path.stat().st_size for path in shards(cache))
    assert json.loads(aurl("cache", "prune", "--max-gb", largest / 2**30, "--json").stdout)["shards"] >= 1
    assert 1 <= len(shards(cache)) <= 2
    environment.setenv("AURL_PREPARE__CACHE_GB", "0")
    aurl("cache", "prune")
    assert shards(cache) == []


class TestClear:
    def test_without_a_terminal_needs_force(self, aurl, cache, monkeypatch):
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        refused = aurl("cache", "clear")
        assert (refused.returncode, refused.stdout) == (ExitCode.USAGE, "")
        assert "--force" in refused.stderr
        assert len(shards(cache)) == 3
        assert "removed 3 shards" in aurl("cache", "clear", "--force").stdout
        assert shards(cache) == []

    @pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("n\n", 3), ("\n", 3)])
    def test_on_a_terminal_asks(self, aurl, cache, monkeypatch, answer, left):
        terminal = io.StringIO(answer)
        terminal.isatty = lambda: True
        monkeypatch.setattr("sys.stdin", terminal)
        result = aurl("cache", "clear")
        assert result.returncode == 0
        assert str(cache) in result.stderr
        assert len(shards(cache)) == left


class TestMerge:
    def test_takes_in_other_folders_and_names_what_is_damaged(self, aurl, cache, songs, tmp_path):
        flip(shards(songs)[0])
        result = aurl("cache", "merge", songs)
        assert result.returncode == ExitCode.SOME_REJECTED
        assert "1 damaged" in result.stdout
        assert shards(songs)[0].name in result.stdout
        told = json.loads(aurl("cache", "merge", songs, tmp_path / "cache" / "tokens", "--json").stdout)
        assert [one["added"] for one in told["merged"]] == [0, 0]
        assert len(shards(cache)) == 2 + len(shards(songs))

    def test_a_folder_without_shards_is_not_found(self, aurl, cache, tmp_path):
        assert aurl("cache", "merge", tmp_path / "nowhere").returncode == ExitCode.NOT_FOUND

    def test_a_cache_in_use_is_said_to_be(self, aurl, cache, songs):
        with lock(cache / ".lock"):
            result = aurl("cache", "merge", songs)
        assert result.returncode == ExitCode.LOCKED
        assert f"process {os.getpid()}" in result.stderr


class TestVerify:
    def test_what_is_whole(self, aurl, songs):
        result = aurl("cache", "verify", "--quiet")
        assert (result.returncode, result.stderr) == (0, "")
        rows = [line.split("  ") for line in result.stdout.splitlines()]
        assert [row[0].strip() for row in rows] == ["checked", "token cache", "data set songs"]
        assert all(row[-1] == "whole" for row in rows[1:])

    def test_damage_is_named_and_then_mended(self, aurl, cache, songs):
        damaged = [shards(cache)[0], shards(songs)[0], songs / "audit.json"]
        for path in damaged:
            flip(path)
        result = aurl("cache", "verify", "--json")
        assert result.returncode == ExitCode.DAMAGED
        assert "--repair" in result.stderr
        told = json.loads(result.stdout)
        found = told["cache"]["damage"] + [one for check in told["datasets"] for one in check["damage"]]
        assert [one["path"] for one in found] == [str(path) for path in damaged]
        assert not any(one["mended"] for one in found)
        repaired = aurl("cache", "verify", "--repair", "--jobs", "1")
        assert repaired.returncode == 0
        for path in damaged:
            assert str(path) in repaired.stdout
        assert "lost" not in repaired.stdout
        assert aurl("cache", "verify").returncode == 0

    def test_what_is_lost_is_listed(self, aurl, songs, tmp_path):
        with sqlite3.connect(songs / "index.sqlite") as connection:
            query = "SELECT source FROM pieces WHERE shard = ?"
            paths = [source.decode() for (source,) in connection.execute(query, (shards(songs)[0].stem,))]
        connection.close()
        for path in paths:
            Path(path).unlink()
        flip(shards(songs)[0])
        assert aurl("cache", "verify").returncode == ExitCode.DAMAGED
        result = aurl("cache", "verify", "--repair", "--jobs", "1")
        assert result.returncode == 0
        lost = result.stdout.split("lost, because")[1]
        assert all(path in lost for path in paths)
        assert aurl("cache", "verify").returncode == 0

    def test_damage_that_cannot_be_mended_stays_damage(self, aurl, songs):
        (songs / "sources.json").unlink()
        flip(songs / "manifest.json")
        result = aurl("cache", "verify", "--repair")
        assert result.returncode == ExitCode.DAMAGED
        assert "cannot be told" in result.stdout
        assert "--repair" not in result.stderr

    def test_a_lost_manifest_is_damage(self, aurl, songs):
        (songs / "manifest.json").unlink()
        result = aurl("cache", "verify")
        assert result.returncode == ExitCode.DAMAGED
        assert "does not exist" in result.stdout
        assert str(songs / "manifest.json") in result.stdout

    @pytest.mark.parametrize("flags", [(), ("--repair",)])
    def test_a_data_set_in_use_is_said_to_be(self, aurl, songs, flags):
        with lock(songs / ".lock"):
            result = aurl("cache", "verify", *flags)
        assert result.returncode == ExitCode.LOCKED
        assert "in use by process" in result.stdout

    def test_a_signal_ends_it_between_two_shards(self, aurl, songs, monkeypatch):
        def stop(self, **_):
            os.kill(os.getpid(), signal.SIGINT)
            return verify(self, **_)

        verify = TokenCache.verify
        monkeypatch.setattr(TokenCache, "verify", stop)
        result = aurl("cache", "verify", "--json")
        assert result.returncode == ExitCode.INTERRUPTED
        assert json.loads(result.stdout)["cache"]["shards"] == 1
        assert json.loads(result.stdout)["datasets"] == []

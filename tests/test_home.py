"""Where data sets and runs are, and which is the latest."""

import os
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurl.errors import NotFoundError, UsageError
from aurl.home import Home, cache_folder, check_name
from aurl.storage import write_json


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("AURL_HOME", str(tmp_path / "home"))
    return Home.locate()


def make_dataset(home, name):
    write_json(home.datasets / name / "manifest.json", {})
    return home.datasets / name


def make_run(home, name, status="finished", *, at=None):
    folder = home.runs / name
    write_json(folder / "run.json", {"status": status})
    if at is not None:
        os.utime(folder / "run.json", (at, at))
    return folder


class TestLocate:
    def test_variable_comes_first(self, tmp_path, monkeypatch):
        (tmp_path / "aurl.toml").write_text('home = "from-project"')
        monkeypatch.setenv("AURL_HOME", str(tmp_path / "from-variable"))
        assert Home.locate(tmp_path).root == tmp_path / "from-variable"

    def test_nearest_project_file_comes_next_and_its_path_starts_from_it(self, tmp_path, monkeypatch):
        monkeypatch.delenv("AURL_HOME", raising=False)
        inner = tmp_path / "project" / "deep" / "deeper"
        inner.mkdir(parents=True)
        (tmp_path / "aurl.toml").write_text('home = "outer"')
        (tmp_path / "project" / "aurl.toml").write_text('home = "inner"')
        assert Home.locate(inner).root == tmp_path / "project" / "inner"

    def test_user_folder_comes_last(self, tmp_path, monkeypatch):
        monkeypatch.delenv("AURL_HOME", raising=False)
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        (tmp_path / "aurl.toml").write_text("[training]\nlr = 1e-3")
        assert Home.locate(tmp_path).root == tmp_path / "data" / "aurl"

    @pytest.mark.parametrize("value", ["3", '""', '["a"]'])
    def test_home_that_is_no_path_is_a_usage_error(self, tmp_path, monkeypatch, value):
        monkeypatch.delenv("AURL_HOME", raising=False)
        (tmp_path / "aurl.toml").write_text(f"home = {value}")
        with pytest.raises(UsageError, match=r"aurl\.toml"):
            Home.locate(tmp_path)

    def test_nothing_is_made_by_looking(self, home):
        with pytest.raises(NotFoundError):
            home.dataset()
        assert not home.root.exists()

    def test_cache_is_not_in_the_home(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.delenv("AURL_CACHE", raising=False)
        assert cache_folder() == tmp_path / "cache" / "aurl"
        monkeypatch.setenv("AURL_CACHE", str(tmp_path / "elsewhere"))
        assert cache_folder() == tmp_path / "elsewhere"


class TestFind:
    def test_without_any_the_error_names_the_next_step(self, home):
        with pytest.raises(NotFoundError) as caught:
            home.dataset()
        assert "aurl prepare" in caught.value.hint
        with pytest.raises(NotFoundError) as caught:
            home.run()
        assert "aurl train" in caught.value.hint

    def test_by_name_and_by_path(self, home, tmp_path, monkeypatch):
        inside = make_dataset(home, "bach")
        outside = tmp_path / "elsewhere" / "set"
        write_json(outside / "manifest.json", {})
        assert home.dataset("bach") == inside
        assert home.dataset(str(outside)) == outside
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert home.dataset("set") == outside

    def test_unknown_name_suggests_the_nearest(self, home):
        make_run(home, "chorales")
        make_run(home, "ragtime")
        with pytest.raises(NotFoundError) as caught:
            home.run("choraels")
        assert "chorales" in caught.value.hint
        assert "ragtime" not in caught.value.hint

    def test_folder_without_its_mark_is_not_taken(self, home):
        (home.datasets / "half").mkdir(parents=True)
        with pytest.raises(NotFoundError, match=r"manifest\.json"):
            home.dataset("half")
        with pytest.raises(NotFoundError):
            home.dataset()

    def test_all_data_sets_are_those_with_a_manifest_or_what_is_left_of_one(self, home):
        assert home.list_datasets() == []
        expected = [make_dataset(home, "bach"), make_dataset(home, "chopin")]
        (home.datasets / "chopin" / "manifest.json").unlink()
        write_json(home.datasets / "chopin" / "sources.json", [])
        make_dataset(home, ".hidden")
        (home.datasets / "half" / "shards").mkdir(parents=True)
        assert home.list_datasets() == expected

    def test_empty_name_is_not_the_home_itself(self, home):
        make_dataset(home, "bach")
        with pytest.raises(NotFoundError):
            home.dataset("")


class TestLatest:
    def test_newest_where_none_is_marked(self, home):
        make_run(home, "old", at=1_000)
        new = make_run(home, "new", at=3_000)
        make_run(home, "middle", at=2_000)
        assert home.run() == new

    def test_marked_one_wins_over_newer_ones(self, home):
        marked = make_run(home, "marked", at=1_000)
        make_run(home, "newer", at=3_000)
        home.mark_latest(marked)
        assert home.run() == marked

    def test_mark_of_a_vanished_folder_is_passed_over(self, home):
        left = make_dataset(home, "left")
        home.mark_latest(home.datasets / "gone")
        assert home.dataset() == left

    def test_half_made_folders_are_passed_over(self, home):
        run = make_run(home, "whole", at=1_000)
        write_json(home.runs / ".half.1-ff.tmp" / "run.json", {"status": "running"})
        assert home.run() == run

    @pytest.mark.parametrize("status", ["running", "interrupted", "failed"])
    def test_latest_unfinished_run(self, home, status):
        make_run(home, "older", status, at=1_000)
        wanted = make_run(home, "newer", status, at=2_000)
        home.mark_latest(make_run(home, "done", "finished", at=3_000))
        assert home.run(unfinished=True) == wanted

    def test_all_finished_is_not_found(self, home):
        make_run(home, "done")
        with pytest.raises(NotFoundError, match="unfinished"):
            home.run(unfinished=True)

    def test_a_named_run_is_found_though_it_is_finished(self, home):
        done = make_run(home, "done")
        assert home.run("done", unfinished=True) == done


class TestNew:
    def test_default_names_sort_by_time_and_differ(self, home):
        names = [home.new_run().name for _ in range(50)]
        assert len(set(names)) == 50
        assert [name[:19] for name in names] == sorted(name[:19] for name in names)

    def test_taken_name_is_refused_and_nothing_is_made(self, home):
        make_run(home, "taken")
        with pytest.raises(UsageError) as caught:
            home.new_run("taken")
        assert "aurl resume taken" in caught.value.hint
        assert not home.new_run("free").exists()

    @given(st.text(string.printable + "äé𝄞", min_size=1, max_size=30))
    def test_accepted_names_stay_inside_the_folder(self, name):
        try:
            check_name(name)
        except UsageError:
            assert not name.isalnum()
            return
        folder = Path("/home/runs")
        assert Path(os.path.normpath(folder / name)).parent == folder

    @pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a\nb", "x" * 101, "a:b"])
    def test_dangerous_names_are_refused(self, name):
        with pytest.raises(UsageError, match="cannot be a name"):
            check_name(name)

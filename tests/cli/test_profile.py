"""`aurl profile list|show|new|check`."""

import json

import tomli

from aurl.errors import ExitCode
from aurl.profile import load_profile


def test_list_has_the_packaged_profiles_and_the_users_own(aurl, tmp_path):
    mine = tmp_path / "user" / ".config" / "aurl" / "profiles"
    mine.mkdir(parents=True)
    (mine / "evening.toml").write_text('description = "For the evening."')
    result = aurl("profile", "list")
    assert (result.returncode, result.stderr) == (0, "")
    rows = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert {"transformer", "tiny", "small", "base", "large", "dev", "prod", "evening"} <= rows.keys()
    assert "For the evening." in rows["evening"]
    listed = json.loads(aurl("profile", "list", "--json").stdout)["profiles"]
    assert {profile["name"] for profile in listed} == rows.keys()


def test_show_prints_a_profile_that_can_be_loaded(aurl, tmp_path):
    result = aurl("profile", "show", "-p", "tiny", "--set", "training.lr=0.125")
    assert result.returncode == 0
    (tmp_path / "work" / "shown.toml").write_text(result.stdout)
    assert tomli.loads(result.stdout)["training"]["lr"] == 0.125
    assert load_profile(["./shown.toml"]).hash == load_profile(["tiny"], ["training.lr=0.125"]).hash


def test_show_origin_tells_where_each_value_comes_from(aurl, tmp_path, environment):
    (tmp_path / "work" / "aurl.toml").write_text("[training]\nseed = 3")
    environment.setenv("AURL_TRAINING__PATIENCE", "4")
    args = ("profile", "show", "--profile", "tiny", "-s", "training.lr=0.125")
    lines = {line.split()[0]: line for line in aurl(*args, "--origin").stdout.splitlines()}
    assert lines["training.seed"].endswith(str(tmp_path / "work" / "aurl.toml"))
    assert lines["training.patience"].endswith("AURL_TRAINING__PATIENCE")
    assert lines["training.lr"].endswith("--set training.lr")
    assert lines["model.d_model"].endswith("packaged tiny")
    assert lines["training.betas"].endswith("default")
    shown = json.loads(aurl(*args, "--json").stdout)
    assert shown["values"]["training.patience"] == 4
    assert shown["origins"]["training.patience"] == "AURL_TRAINING__PATIENCE"


def test_faults_are_shown_together_with_the_documented_code(aurl):
    result = aurl("profile", "show", "--set", "training.lrr=1", "--set", 'prepare.split={kind="hsh"}')
    assert (result.returncode, result.stdout) == (ExitCode.USAGE, "")
    assert "did you mean training.lr?" in result.stderr
    assert "did you mean hash?" in result.stderr


def test_new_writes_a_file_once(aurl, tmp_path):
    path = tmp_path / "work" / "mine.toml"
    result = aurl("profile", "new", "mine.toml")
    assert (result.returncode, result.stdout) == (0, "mine.toml\n")
    assert "--profile mine.toml" in result.stderr
    path.write_text("mine")
    again = aurl("profile", "new", "mine.toml")
    assert again.returncode == ExitCode.USAGE
    assert "--force" in again.stderr
    assert path.read_text() == "mine"
    assert aurl("profile", "new", "mine.toml", "--force").returncode == 0
    assert path.read_text() != "mine"


def test_new_with_a_name_makes_a_profile_that_can_be_named(aurl):
    assert aurl("profile", "new", "evening").returncode == 0
    assert aurl("profile", "show", "--profile", "evening").returncode == 0


def test_new_to_stdout(aurl, tmp_path):
    result = aurl("profile", "new", "-")
    assert tomli.loads(result.stdout).keys() == {"prepare", "tokens", "data", "model", "training", "generation"}
    assert not list((tmp_path / "work").iterdir())


def test_new_refuses_names_that_leave_the_folder(aurl):
    assert aurl("profile", "new", "../evil").returncode == ExitCode.USAGE

"""`aurl prepare`, from files to the exit code."""

import json
import os
import signal
import subprocess
import sys

import pytest
from tests.support.midi_files import tune, write_file, write_tunes

from aurl.cli.prepare import default_name
from aurl.errors import ExitCode


def test_a_folder_becomes_a_data_set_of_its_name_and_the_latest(aurl, tmp_path):
    write_tunes(tmp_path / "songs", 8)
    result = aurl("prepare", tmp_path / "songs")
    assert result.returncode == 0, result.stderr
    assert "8 of 8 files prepared" in result.stdout
    assert "next: aurl train" in result.stderr
    assert (tmp_path / "home" / "datasets" / "songs" / "manifest.json").is_file()
    assert (tmp_path / "home" / "datasets" / ".latest").read_text() == "songs\n"


def test_json_is_one_object_and_quiet_is_quiet(aurl, tmp_path):
    write_tunes(tmp_path / "songs", 8)
    result = aurl("prepare", tmp_path / "songs", "--json", "--quiet", "--name", "mine")
    told = json.loads(result.stdout)
    assert result.stderr == ""
    assert told["schema"] == "aurl.prepare/1"
    assert (told["files"], told["prepared"], told["rejected"]) == (8, 8, 0)
    assert told["folder"] == str(tmp_path / "home" / "datasets" / "mine")


@pytest.mark.parametrize(("flags", "code"), [((), ExitCode.SOME_REJECTED), (("--strict",), ExitCode.FAILURE)])
def test_rejected_files_are_named_and_decide_the_code(aurl, tmp_path, flags, code):
    write_tunes(tmp_path / "songs", 4)
    write_file(tmp_path / "songs" / "bad\x1b[31m.mid", b"no midi at all, but long enough to look like something")
    result = aurl("prepare", tmp_path / "songs", *flags)
    assert result.returncode == code
    assert "4 of 5 files prepared, 1 rejected" in result.stdout
    assert "not_midi" in result.stdout
    assert "bad" in result.stdout
    assert "\x1b" not in result.stdout + result.stderr
    assert aurl("train", "--data", "none").returncode == ExitCode.NOT_FOUND


def test_nothing_usable_is_a_failure_and_no_latest_data_set(aurl, tmp_path):
    (tmp_path / "songs").mkdir()
    write_file(tmp_path / "songs" / "bad.mid", b"nothing of the kind, whatever it may be called")
    result = aurl("prepare", tmp_path / "songs")
    assert result.returncode == ExitCode.FAILURE
    assert "no file could be prepared" in result.stderr
    result = aurl("prepare", tmp_path / "songs", "--json")
    assert json.loads(result.stdout)["rejected"] == 1
    assert "no file could be prepared" in result.stderr
    assert not (tmp_path / "home" / "datasets" / ".latest").exists()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("https://host/music/pack.zip", "pack"),
        ("memory://songs/", "songs"),
        ("/no/such/Songs.tar.gz", "Songs"),
        ("songs/*.mid", "songs"),
    ],
)
def test_names_of_archives_and_urls(environment, path, name):
    assert default_name([path]) == name


def test_who_does_not_read_the_result_has_the_data_set_all_the_same(aurl, tmp_path):
    write_tunes(tmp_path / "songs", 2)
    reader, writer = os.pipe()
    os.close(reader)
    result = aurl("prepare", tmp_path / "songs", capture_output=False, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert "Traceback" not in result.stderr
    folder = tmp_path / "home" / "datasets"
    assert (folder / ".latest").read_text() == "songs\n"
    assert json.loads((folder / "songs" / "sources.json").read_text()) == [str(tmp_path / "songs")]


def test_an_interrupted_run_says_whether_there_is_more_to_do(environment, tmp_path):
    write_tunes(tmp_path / "songs", 60)
    command = [sys.executable, "-m", "aurl", "prepare", tmp_path / "songs", "--set", "prepare.shard_tokens=1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline().startswith("read: ")
        process.send_signal(signal.SIGINT)
        told, noted = process.communicate(timeout=300)
    assert process.returncode == ExitCode.INTERRUPTED
    left = "run the same command again to go on" in noted
    assert left == told.startswith("interrupted: songs is as it was")
    assert left != (tmp_path / "home" / "datasets" / ".latest").exists()


def test_labels_and_near_duplicates_by_options(aurl, tmp_path):
    write_tunes(tmp_path / "songs", 6)
    index = tmp_path / "index.csv"
    index.write_text(
        "path,composer\n" + "".join(f"tune-{number:03}.mid,Bach\n" for number in range(6)) + "lost.mid,Bach\n"
    )
    result = aurl("prepare", tmp_path / "songs", "--metadata", index, "--dedupe", "keep-one", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["audit"]["labels"] == {"composer": {"Bach": 6}}
    assert "prepare.labels" not in result.stderr
    assert f"1 row of {index} names no file, or not one alone: lost.mid" in result.stderr
    assert aurl("prepare", tmp_path / "songs", "--dedupe", "some").returncode == ExitCode.USAGE
    useless = aurl("prepare", tmp_path / "songs", "--set", 'prepare.labels=["{composer}/{genre}/none/*"]')
    assert "prepare.labels tells nothing of any file" in useless.stderr
    missing = aurl("prepare", tmp_path / "songs", "--metadata", "none.csv")
    assert missing.returncode in {ExitCode.USAGE, ExitCode.NOT_FOUND}
    assert "none.csv" in missing.stderr


def test_a_table_of_labels_is_meant_from_the_profile_that_names_it(aurl, tmp_path, monkeypatch):
    write_tunes(tmp_path / "songs", 2)
    (tmp_path / "work" / "labels.csv").write_text("path,composer\ntune-001.mid,Bach\n")
    (tmp_path / "work" / "aurl.toml").write_text('[prepare]\nmetadata = "labels.csv"\n')
    (tmp_path / "work" / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "work" / "deep")
    result = aurl("prepare", tmp_path / "songs", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["audit"]["labels"] == {"composer": {"Bach": 1}}
    manifest = json.loads((tmp_path / "home" / "datasets" / "songs" / "manifest.json").read_text())
    assert manifest["prepare"]["metadata"] == str(tmp_path / "work" / "labels.csv")


def test_a_cluster_that_is_not_there(aurl, tmp_path):
    write_tunes(tmp_path / "songs", 2)
    result = aurl("prepare", tmp_path / "songs", "--scheduler", "tcp://127.0.0.1:9")
    assert result.returncode == ExitCode.FAILURE
    assert "no dask scheduler answers at tcp://127.0.0.1:9" in result.stderr
    assert "Traceback" not in result.stderr


def test_missing_folder_is_not_found(aurl):
    assert aurl("prepare", "nowhere").returncode == ExitCode.NOT_FOUND


def test_dry_run_writes_nothing(aurl, tmp_path):
    write_tunes(tmp_path / "songs", 4)
    result = aurl("prepare", tmp_path / "songs", "--dry-run")
    assert result.returncode == 0
    assert "4 files" in result.stdout
    assert not (tmp_path / "home").exists()


def test_second_run_says_that_nothing_has_changed(aurl, tmp_path):
    write_tunes(tmp_path / "songs", 4)
    aurl("prepare", tmp_path / "songs")
    assert "nothing has changed" in aurl("prepare", tmp_path / "songs").stdout


def test_other_files_do_not_silently_replace_a_data_set(aurl, tmp_path):
    write_tunes(tmp_path / "a" / "songs", 4)
    write_tunes(tmp_path / "b" / "songs", 4, first=50)
    aurl("prepare", tmp_path / "a" / "songs")
    refused = aurl("prepare", tmp_path / "b" / "songs")
    assert refused.returncode == ExitCode.USAGE
    assert str(tmp_path / "a" / "songs") in refused.stderr
    assert "--force" in refused.stderr
    assert aurl("prepare", *(tmp_path / "a").rglob("*.mid"), "--name", "four").returncode == 0
    assert " and 1 more" in aurl("prepare", tmp_path / "b" / "songs", "--name", "four").stderr
    both = json.loads(aurl("prepare", tmp_path / "a" / "songs", tmp_path / "b" / "songs", "--json").stdout)
    assert both["prepared"] == 8
    replaced = json.loads(aurl("prepare", tmp_path / "b" / "songs", "--json", "--force").stdout)
    assert replaced["prepared"] == 4


def test_the_same_files_from_another_working_folder(aurl, tmp_path, monkeypatch):
    write_tunes(tmp_path / "songs", 2)
    assert aurl("prepare", tmp_path / "songs").returncode == 0
    monkeypatch.chdir(tmp_path / "songs")
    assert aurl("prepare", ".").returncode == 0
    assert aurl("prepare", "../songs/").returncode == 0


def test_profile_faults_are_found_before_anything_is_read(aurl, tmp_path):
    write_tunes(tmp_path / "songs", 2)
    result = aurl("prepare", tmp_path / "songs", "--set", 'prepare.preprocess=[{kind="quantise"}]')
    assert result.returncode == ExitCode.USAGE
    assert "did you mean quantize?" in result.stderr
    result = aurl("prepare", tmp_path / "songs", "--set", 'prepare.preprocess=[{kind="segment", bars=2}]')
    assert result.returncode == ExitCode.USAGE
    assert "lower min_bars" in result.stderr
    assert not (tmp_path / "home").exists()


def test_torch_is_not_imported(aurl, tmp_path):
    write_tunes(tmp_path / "songs", 2)
    result = aurl("prepare", tmp_path / "songs", "--dry-run", python=["-X", "importtime"])
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "aurl.data.prepare" in imported
    assert "torch" not in imported


class TestDefaultName:
    @pytest.fixture(autouse=True)
    def songs(self, tmp_path, monkeypatch):
        write_tunes(tmp_path / "songs", 1, subfolders=1)
        monkeypatch.chdir(tmp_path / "songs")

    @pytest.mark.parametrize(
        ("path", "name"),
        [
            (".", "songs"),
            ("../songs", "songs"),
            ("part-0", "part-0"),
            ("part-0/", "part-0"),
            ("part-0/tune-000.mid", "part-0"),
            ("part-0/*.mid", "part-0"),
            ("**/*.mid", "songs"),
            ("/", "midi"),
        ],
    )
    def test_is_that_of_the_first_folder(self, path, name):
        assert default_name([path, "elsewhere"]) == name

    def test_is_a_legal_name_whatever_the_folder_is_called(self, tmp_path):
        for folder, name in ((".hidden", "hidden"), ("a:b", "a_b"), ("x" * 200, "x" * 100)):
            (tmp_path / folder).mkdir()
            assert default_name([str(tmp_path / folder)]) == name


def test_what_a_filter_leaves_out_is_no_fault(aurl, tmp_path):
    write_tunes(tmp_path / "songs", 6)
    write_file(tmp_path / "songs" / "short.mid", tune(1, notes=2))
    steps = 'prepare.preprocess=[{kind="length", unit="notes", least=3}]'
    result = aurl("prepare", tmp_path / "songs", "--set", steps, "--strict")
    assert result.returncode == 0, result.stderr
    assert "6 of 7 files prepared, 1 rejected" in result.stdout
    write_file(tmp_path / "songs" / "bad.mid", b"no midi at all, but long enough to look like something")
    assert aurl("prepare", tmp_path / "songs", "--set", steps).returncode == ExitCode.SOME_REJECTED

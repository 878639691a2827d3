"""`aurl tune`."""

import json
import sys

import pytest
from tests.support.command_line import TINY

from aurl.errors import ExitCode

FEW = ("--max-steps", 3, "--threads", 1, "--device", "cpu", "--pruner", "none")
TWO = ("--search", "training.lr=1e-3|1e-2", "--method", "grid")


def test_a_study_its_table_and_its_best_profile(invoke, home):
    code, out, err = invoke("tune", *TINY, *FEW, *TWO, "--name", "rates")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].split() == ["trial", "state", "nats", "per", "note", "training.lr", "steps", "time"]
    assert {line.split()[0] for line in lines[1:3]} == {"0", "1"}
    folder = home / "studies" / "rates"
    assert f"best profile: {folder / 'best.toml'}" in out
    assert f"next: aurl train --profile {folder / 'best.toml'}" in err
    assert "data set: songs, the latest" in err
    assert "optuna" not in err.lower()
    again, out, _ = invoke("tune", "--name", "rates", "--threads", 1, "--device", "cpu", "--json")
    told = json.loads(out)
    assert (again, told["schema"], len(told["trials"])) == (0, "aurl.tune/1", 2)
    assert told["best"] == min(told["trials"], key=lambda trial: trial["value"])["number"]
    args = ("--profile", told["best_profile"], "--max-steps", 1, "--name", "after", "--threads", 1, "--device", "cpu")
    code, _, err = invoke("train", *args)
    assert code == 0, err
    profile = (home / "runs" / "after" / "profile.toml").read_text()
    assert f"lr = {told['trials'][told['best']]['values']['training.lr']}\n" in profile


def test_a_study_from_a_file_and_options_over_it(invoke, home, tmp_path):
    (tmp_path / "work" / "own.toml").write_text('extends = "tiny"\n[data]\nseq_len = 64\nbatch_size = 4\n')
    (tmp_path / "work" / "study.toml").write_text(
        'method = "random"\npruner = "none"\ntrials = 9\nmax_steps = 2\nprofiles = ["./own.toml"]\n'
        'overrides = ["training.precision=fp32", "training.sample_every=0"]\n'
        '[search]\n"training.lr" = "log:1e-4:1e-2"\n[search.model]\ndropout = [0.0, 0.1]\n'
    )
    options = ("--trials", 1, "--seed", 5, "--threads", 1, "--device", "cpu", "--name", "filed", "--json")
    code, out, err = invoke("tune", "study.toml", *options)
    assert code == 0, err
    (trial,) = json.loads(out)["trials"]
    assert set(trial["values"]) == {"training.lr", "model.dropout"}
    assert trial["step"] == 2
    kept = json.loads((home / "studies" / "filed" / "study.json").read_text())
    assert (kept["seed"], kept["method"]) == (5, "random")
    assert kept["profiles"] == [str(tmp_path / "work" / "own.toml")]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ((), ExitCode.USAGE, "nothing is searched"),
        (("--name", "none"), ExitCode.NOT_FOUND, "no study called 'none'"),
        (("--search", "training.lr"), ExitCode.USAGE, "KEY=RANGE"),
        (("--search", "training.rate=1:2"), ExitCode.USAGE, "training.rate: unknown key"),
        (("--search", "model.dropout=0:2"), ExitCode.USAGE, "--search model.dropout"),
        (("--search", "training.lr=1e-4:1e-2", "--method", "magic"), ExitCode.USAGE, "magic"),
        (("study.toml",), ExitCode.USAGE, "colour"),
        (("missing.toml",), ExitCode.NOT_FOUND, "missing.toml"),
        (("--search", "training.lr=1e-4:1e-2", "--name", "a/b"), ExitCode.USAGE, "cannot be a name"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(invoke, home, tmp_path, args, code, said):
    (tmp_path / "work" / "study.toml").write_text('colour = "red"\n[search]\n"training.lr" = "1e-4:1e-2"\n')
    result, out, err = invoke("tune", *args, "--device", "cpu")
    assert (result, out) == (code, "")
    assert said in err
    assert not (home / "studies").exists()


def test_a_study_is_gone_on_with_as_it_is(invoke, home):
    assert invoke("tune", *TINY, *FEW, *TWO, "--name", "rates", "--trials", 1)[0] == 0
    for changed in (("--seed", 0), ("--max-steps", 9), ("--set", "model.dropout=0.3"), ("--profile", "small")):
        code, _, err = invoke("tune", "--name", "rates", *changed)
        assert code == ExitCode.USAGE
        assert "cannot change within a study" in err
    code, _, err = invoke(
        "tune", *TINY, *FEW, "--search", "training.lr=1e-3|1e-1", "--method", "grid", "--name", "rates"
    )
    assert code == ExitCode.USAGE
    assert "another search" in err


def test_without_optuna_it_says_what_to_install(invoke, home, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, err = invoke("tune", *TWO)
    assert code == ExitCode.FAILURE
    assert "pip install 'aurl[tune]'" in err

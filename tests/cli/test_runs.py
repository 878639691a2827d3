"""`aurl runs`."""

import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from aurl.cli.runs import age, event_text, figure, size
from aurl.errors import ExitCode


def test_list_tells_of_every_run(invoke, home):
    broken = home / "runs" / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    code, out, err = invoke("runs", "list")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["name", "mode", "status", "step", "best", "at", "size", "age", "parent"]
    assert lines[1].split()[:4] == ["first", "transformer", "finished", "6"]
    assert lines[2].split()[:3] == ["broken", "?", "damaged"]
    assert lines[3].startswith("broken: ")
    assert "run.json is not valid JSON" in lines[3]
    code, out, _ = invoke("runs", "list", "--json")
    told = json.loads(out)
    assert (code, told["schema"]) == (0, "aurl.runs.list/1")
    assert [(run["name"], run["step"]) for run in told["runs"]] == [("first", 6), ("broken", 0)]


def test_without_runs_it_says_what_to_do(invoke):
    code, out, err = invoke("runs", "list")
    assert code == 0
    assert "there is no run in" in out
    assert "aurl train" in err


def test_show_tells_how_a_run_stands_and_what_comes_next(invoke, home):
    run = home / "runs" / "first"
    (run / "events.jsonl").write_text(
        '{"step": 3, "kind": "spike", "message": "loss 9", "advice": "wait"}\n'
        '{"step": 4, "kind": "alarm", "on": true, "message": "hardly heard", "advice": "lower loss.beta"}\n'
    )
    code, out, err = invoke("runs", "show")
    assert code == 0
    assert "finished (max_steps)" in out
    assert "valid/nats_per_note" in out
    assert [line.split()[0] for line in out.splitlines() if line.startswith("step-")] == [
        "step-00000003",
        "step-00000006",
    ]
    assert "spike – loss 9 – wait" in out
    assert "hardly heard  lower loss.beta" in out
    assert err.strip() == "next: aurl generate --run first"
    code, out, _ = invoke("runs", "show", "first", "--json")
    told = json.loads(out)
    assert told["summary"]["best_step"] in (3, 6)
    assert told["newest_steps"]["valid/nats_per_note"] == 6
    assert told["profile"]["data.seq_len"] == 64


def test_a_run_that_is_not_there(invoke, home):
    code, out, err = invoke("runs", "show", "fist")
    assert (code, out) == (ExitCode.NOT_FOUND, "")
    assert "did you mean first?" in err


@pytest.mark.parametrize(
    ("ago", "text"),
    [(timedelta(seconds=5), "5 s"), (timedelta(hours=3, minutes=5), "3 h 05 min"), (timedelta(days=9), "9 days")],
)
def test_ages(ago, text):
    assert age((datetime.now(UTC) - ago).isoformat()) == text


def test_what_is_no_time_has_no_age():
    assert [age(value) for value in (None, "yesterday", "2026-01-01")] == ["?", "?", "?"]


def test_sizes_figures_and_events():
    assert (size(3 * 2**20), size(5 * 2**29)) == ("3.0 MiB", "2.5 GiB")
    assert [figure(value) for value in (3, 12345, 12345.6, 0.123456, 2.0)] == ["3", "12,345", "12,346", "0.1235", "2"]
    assert event_text({"message": "so"}) == "so"
    gone_back = {"kind": "rollback", "message": "so", "to_step": 1200, "rate": 0.5}
    assert event_text(gone_back) == "rollback – so – back to step 1,200, rates × 0.5"


def test_a_best_value_that_is_no_likelihood_says_what_it_is_of(invoke, home):
    profile = home / "runs" / "first" / "profile.toml"
    profile.write_text(profile.read_text().replace('best_by = "auto"', 'best_by = "train/loss"'))
    code, out, _ = invoke("runs", "list")
    assert code == 0
    assert out.splitlines()[1].split()[5] == "train/loss"


@pytest.fixture
def second(home):
    """A run beside the first one, with less patience and fewer steps."""
    copy = home / "runs" / "second"
    shutil.copytree(home / "runs" / "first", copy)
    profile = copy / "profile.toml"
    profile.write_text(re.sub(r"^patience = .*$", "patience = 3", profile.read_text(), flags=re.MULTILINE))
    lines = (copy / "metrics.jsonl").read_text().splitlines(keepends=True)
    (copy / "metrics.jsonl").write_text("".join(line for line in lines if json.loads(line)["step"] <= 3))
    return copy


def test_compare_tells_how_runs_differ(invoke, second):
    code, out, err = invoke("runs", "compare", "first", "second")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert ["profile", "first", "second"] in rows
    assert ["training.patience", "10", "3"] in rows
    assert "at step 3" in out
    assert any(row[:1] == ["valid/nats_per_note"] and row[1] == row[2] for row in rows)
    assert "evaluations_since_best" not in out
    assert "evaluations_since_best" in invoke("runs", "compare", "first", "second", "--all")[1]
    told = json.loads(invoke("runs", "compare", "first", "second", "--json")[1])
    assert told["profile"] == {"training.patience": [10, 3]}
    assert told["views"][0]["steps"] == [3, 3]
    assert told["page"] is None


def test_compare_draws_curves_over_each_other(invoke, second, tmp_path):
    code, _, err = invoke("runs", "compare", "first", "second", "-o", tmp_path / "both.html", "--by", "tokens")
    assert code == 0
    assert "the curves are in" in err
    content = (tmp_path / "both.html").read_text()
    assert "curves over tokens" in content
    code, _, err = invoke("runs", "compare", "first", "second", "-o", tmp_path / "both.html")
    assert code == ExitCode.USAGE
    assert "both.html exists already; choose another --output, or add --force" in err
    assert (tmp_path / "both.html").read_text() == content
    assert invoke("runs", "compare", "first", "second", "-o", tmp_path / "both.html", "--force")[0] == 0
    assert "curves over steps" in (tmp_path / "both.html").read_text()
    assert "<strong>valid/nats_per_note</strong>" in content


@pytest.mark.parametrize("runs", [("first",), ("first", "first")])
def test_compare_needs_two_runs(invoke, home, runs):
    code, _, err = invoke("runs", "compare", *runs)
    assert code == ExitCode.USAGE
    assert "two different runs" in err


def test_the_dashboard_of_a_run_is_written_and_named(invoke, home, tmp_path):
    code, out, _ = invoke("runs", "dashboard")
    assert code == 0
    assert out.strip() == str(home / "runs" / "first" / "dashboard.html")
    assert "valid/nats_per_note" in (home / "runs" / "first" / "dashboard.html").read_text()
    code, out, _ = invoke("runs", "dashboard", "first", "--output", tmp_path / "x.html", "--json")
    assert json.loads(out)["page"] == str(tmp_path / "x.html")
    assert (tmp_path / "x.html").is_file()
    assert invoke("runs", "dashboard", "first", "--output", tmp_path / "x.html")[0] == ExitCode.USAGE
    assert invoke("runs", "dashboard", "first")[0] == 0


def test_runs_are_read_without_torch(aurl, home):
    script = (
        "import sys; from aurl.cli.app import run\n"
        "try: run(['runs', 'list'])\n"
        "finally: sys.stderr.write(str('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "first" in done.stdout
    assert done.stderr == "False"

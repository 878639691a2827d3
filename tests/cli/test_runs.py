"""`aurl runs`."""

import json
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
    (run / "events.jsonl").write_text('{"step": 3, "kind": "spike", "message": "loss 9", "advice": "wait"}\n')
    code, out, err = invoke("runs", "show")
    assert code == 0
    assert "finished (max_steps)" in out
    assert "valid/nats_per_note" in out
    assert [line.split()[0] for line in out.splitlines() if line.startswith("step-")] == [
        "step-00000003",
        "step-00000006",
    ]
    assert "spike – loss 9 – wait" in out
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

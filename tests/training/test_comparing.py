import json
import re

import pytest
from tests.support.training import small_profile

from aurl.errors import UsageError
from aurl.training.comparing import compare, comparison_page, differences
from aurl.training.run import create_run


def write_run(folder, records, *, best=0, **training):
    run = create_run(folder, small_profile(**training), folder)
    run.update(status="finished")
    state = run.checkpoints / "step-00000040" / "state.json"
    state.parent.mkdir(parents=True)
    state.write_text(json.dumps({"training": {"ranking": [{"step": best, "value": 1.0}]}}))
    run.metrics.write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


@pytest.fixture
def pair(tmp_path):
    """One learns 100 tokens a step and goes on to step 40, the other learns 50 and stops at step 30."""
    long = [{"step": step, "tokens": 100 * step, "train/loss": 1000.0 - step} for step in range(10, 41, 10)]
    long.insert(2, {"step": 20, "valid/x": 5.0})
    short = [{"step": step, "tokens": 50 * step, "train/loss": 500.0 - step, "own": 1.0} for step in range(10, 31, 10)]
    return [
        write_run(tmp_path / "long", long, best=20),
        write_run(tmp_path / "short", short, best=30, lr=0.5, schedule={"kind": "cosine"}),
    ]


def test_numbers_at_equal_steps_after_equal_tokens_and_at_their_best(pair):
    steps, tokens, best = compare(pair).views
    assert (steps.title, steps.steps) == ("at step 30", (30, 30))
    assert steps.values["train/loss"] == (970.0, 470.0)
    assert steps.values["valid/x"] == (5.0, None), "the newest that was there, if there was one"
    assert steps.values["own"] == (None, 1.0)
    assert (tokens.title, tokens.steps) == ("after 1,500 tokens", (10, 30))
    assert tokens.values["train/loss"] == (990.0, 470.0)
    assert tokens.values["valid/x"] == (None, None) if "valid/x" in tokens.values else True
    assert (best.title, best.steps) == ("at the best of each", (20, 30))
    assert best.values["train/loss"] == (980.0, 470.0)


def test_profiles_differ_key_by_key(pair):
    assert compare(pair).profile == {"training.lr": (3e-3, 0.5)}
    assert differences([{"a": 1, "b": [1]}, {"a": 1, "b": [1]}]) == {}
    assert differences([{"a": 1}, {"b": 2}]) == {"a": (1, None), "b": (None, 2)}
    assert differences([{}, {"a": 1, "b": 2}]) == {}, "what cannot be read differs in nothing that is known"
    assert differences([{}, {"a": 1, "b": 2}, {"a": 1, "b": 3}]) == {"b": (None, 2, 3)}


def test_the_page_has_a_chart_for_each_number_with_the_curves_of_all(pair):
    content = comparison_page(compare(pair), pair)
    figures = re.findall(r'<figure class="curves">(.*?)</figure>', content)
    titles = {re.search("<strong>(.*?)</strong>", figure)[1]: figure for figure in figures}
    assert set(titles) == {"train/loss", "tokens", "valid/x", "own"}
    assert re.findall(r"</i>(\w+) <b", titles["train/loss"]) == ["long", "short"]
    assert re.findall(r'<polyline class="(c\d)"', titles["own"]) == ["c1"], "each run keeps its colour"
    assert {re.search('data-box="([^ ]+ [^ ]+)', figure)[1] for figure in figures} == {"10 40"}
    assert "<td>training.lr</td><td>0.003</td><td>0.5</td>" in content
    by_tokens = comparison_page(compare(pair), pair, by="tokens")
    assert set(re.findall('data-box="([^ ]+ [^ ]+)', by_tokens)) == {"500 4000"}


def test_damaged_runs_are_compared_as_far_as_they_can_be_read(pair):
    (pair[1] / "profile.toml").write_text("[")
    (pair[1] / "run.json").write_text("")
    (pair[0] / "metrics.jsonl").unlink()
    found = compare(pair)
    assert found.runs[1].fault
    assert found.views[0].steps == (0, 0)
    assert "short" in comparison_page(found, pair)


def test_a_comparison_needs_different_runs(pair):
    for folders in (pair[:1], [pair[0], pair[0]], [*pair, pair[0]], []):
        with pytest.raises(UsageError, match="two different runs"):
            compare(folders)

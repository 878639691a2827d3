"""Runs as points."""

import json
import shutil

import pytest
from tests.support.studies import base_profile
from tests.support.training import latent_profile

from aurl.errors import UsageError
from aurl.training.log import read_metrics
from aurl.training.trainer import fit
from aurl.tuning.scaling import measure


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    fit(base_profile(max_steps=5, log_every=1, eval_every=3), dataset, folder, threads=1, device="cpu")
    return folder


def test_size_targets_and_loss_of_the_last_validation(run):
    """A validation is after step 3, the last one after step 5."""
    measured = measure([run])
    (point,) = measured.points
    records = read_metrics(run / "metrics.jsonl")
    assert measured.metric == "valid/nats_per_token"
    assert point.loss == [record for record in records if "valid/nats_per_token" in record][-1]["valid/nats_per_token"]
    assert [record["step"] for record in records if "valid/nats_per_token" in record] == [3, 5]
    assert point.tokens == next(record["tokens"] for record in records if record["step"] == 5 and "tokens" in record)
    assert point.parameters == json.loads((run / "run.json").read_text())["parameters"]
    assert measure([run], "valid/nats_per_note").points[0].loss > point.loss


def with_facts(run, folder, **facts):
    folder.mkdir()
    shutil.copytree(run / "checkpoints", folder / "checkpoints")
    for name in ("profile.toml", "metrics.jsonl"):
        (folder / name).write_bytes((run / name).read_bytes())
    known = json.loads((run / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**known, **facts}))
    return folder


def test_runs_that_say_nothing_are_passed_over(run, tmp_path):
    stopped = with_facts(run, tmp_path / "stopped", status="interrupted", reason="signal")
    pruned = with_facts(run, tmp_path / "pruned", reason="pruned")
    measured = measure([run, stopped, pruned])
    assert [point.name for point in measured.points] == ["one"]
    assert set(measured.skipped) == {"stopped", "pruned"}
    assert "no valid/x" in measure([run], "valid/x").skipped["one"]


def test_different_data_sets_or_modes_are_no_law(run, dataset, tmp_path):
    other = with_facts(run, tmp_path / "other", dataset="/elsewhere")
    with pytest.raises(UsageError, match="different data sets: one of"):
        measure([run, other])
    fit(latent_profile("vae", max_steps=1), dataset, tmp_path / "vae", threads=1, device="cpu")
    with pytest.raises(UsageError, match="different numbers"):
        measure([run, tmp_path / "vae"])


def test_trials_have_their_studys_name(run, tmp_path):
    trials = tmp_path / "sizes" / "trials"
    trials.mkdir(parents=True)
    assert measure([with_facts(run, trials / "0003")]).points[0].name == "sizes/0003"

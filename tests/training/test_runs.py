"""Runs are read whatever state they are in."""

import json
import os
import socket

import pytest
from tests.support.training import small_profile

from aurl.training.ranking import OUTDATED
from aurl.training.run import create_run
from aurl.training.runs import describe_run, list_runs, read_profile, summarise


def write_metrics(run, records, tail=""):
    run.metrics.write_text("".join(json.dumps(record) + "\n" for record in records) + tail)


def write_checkpoint(run, step, **training):
    folder = run.checkpoints / f"step-{step:08d}"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text(json.dumps({"training": {"step": step, **training}}))
    (folder / "model.safetensors").write_bytes(b"x" * 1000)
    (run.checkpoints / "latest").write_text(f"{folder.name}\n")
    return folder


@pytest.fixture
def run(tmp_path):
    """A run of which nothing is there but its folder."""
    return create_run(tmp_path / "runs" / "one", small_profile(lr=0.01), tmp_path, codec={}, processes=1)


def hold(run, process, host=None):
    """As a process that trains the run does."""
    run.update(status="running", process=process)
    (run.folder / ".lock.holder").write_text(f"process {process} on {host or socket.gethostname()}\n")


def test_a_run_that_has_just_been_made(run):
    found = summarise(run.folder)
    assert (found.name, found.mode, found.status, found.step) == ("one", "transformer", "new", 0)
    assert (found.best, found.best_step, found.parent, found.fault) == (None, 0, None, "")
    assert found.bytes == sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file()) > 0
    assert describe_run(run.folder).command == "aurl resume one"


def test_step_and_best_are_known_while_it_is_trained(run):
    hold(run, os.getpid())
    write_checkpoint(run, 20, ranking=[{"step": 10, "value": 4.5}, {"step": 20, "value": 5.0}])
    write_metrics(run, [{"step": step, "train/loss": 1.0} for step in range(1, 33)], tail='{"step": 33, "tr')
    found = summarise(run.folder)
    assert (found.status, found.step, found.best, found.best_step) == ("running", 32, 4.5, 10)
    assert found.criterion == "valid/nats_per_note"


@pytest.mark.parametrize("worst", [OUTDATED, -OUTDATED])
def test_the_best_of_a_stage_that_is_over_has_no_value(run, worst):
    write_checkpoint(run, 20, ranking=[{"step": 10, "value": worst}])
    found = summarise(run.folder)
    assert (found.best, found.best_step) == (None, 10)


def test_a_run_whose_process_is_gone_was_killed(run):
    hold(run, 2**22 + 1)  # above the largest number that Linux gives a process
    assert summarise(run.folder).status == "killed"
    (run.folder / ".lock.holder").unlink()
    assert summarise(run.folder).status == "killed"
    (run.folder / ".lock.holder").write_text("someone\n")
    assert summarise(run.folder).status == "killed"


def test_a_process_that_took_over_the_number_does_not_train_it(run):
    hold(run, os.getpid())
    os.utime(run.folder / ".lock.holder", (0, 0))
    assert summarise(run.folder).status == "killed"


def test_a_process_of_another_machine_is_believed(run):
    hold(run, 1, host="elsewhere")
    assert summarise(run.folder).status == "running"


def test_details(run):
    run.update(status="finished", reason="max_steps")
    write_checkpoint(run, 10)
    write_checkpoint(run, 20)
    (run.checkpoints / "best").write_text("step-00000010\n")
    records = [{"step": 10, "a": 1, "b": 2.0}, {"step": 20, "a": 3}, {"step": 20, "valid/x": None, "flag": True}]
    write_metrics(run, records)
    run.samples.mkdir()
    for step in (20, 10):
        (run.samples / f"step-{step:08d}.mid").write_bytes(b"")
    told = ['{"step": 7, "kind": "spike"}', '{"step": 8, "ki', "[1]", '{"step": 9, "kind": "saved"}', ""]
    (run.folder / "events.jsonl").write_text("\n".join(told))
    found = describe_run(run.folder)
    assert found.newest == {"a": 3, "b": 2.0}
    assert found.newest_steps == {"a": 20, "b": 10}
    assert [(kept.name, kept.pointers) for kept in found.checkpoints] == [
        ("step-00000010", ("best",)),
        ("step-00000020", ("latest",)),
    ]
    assert all(kept.bytes > 1000 for kept in found.checkpoints)
    assert [path.stem for path in found.samples] == ["step-00000010", "step-00000020"]
    assert found.events == ({"step": 7, "kind": "spike"}, {"step": 9, "kind": "saved"})
    assert found.profile["training.lr"] == 0.01
    assert found.profile["training.schedule.kind"] == "cosine"
    assert found.command == "aurl generate --run one"


DAMAGE = {
    "run.json": b"\x00\xff{",
    "profile.toml": b"[model\nmode = ",
    "metrics.jsonl": b'\xff\xfe\n{"step": "x"}\n[[[[',
    "events.jsonl": b"[" * 100_000,
    "checkpoints/step-00000010/state.json": b'{"training": 3}',
    "checkpoints/latest": b"\xff",
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("content", ["damaged", "empty", "missing"])
def test_whatever_is_damaged_is_told_and_the_rest_is_shown(run, name, content):
    write_metrics(run, [{"step": 10, "a": 1.0}])
    write_checkpoint(run, 10)
    (run.folder / "events.jsonl").write_text('{"kind": "saved"}\n')
    path = run.folder / name
    path.unlink()
    if content != "missing":
        path.write_bytes(DAMAGE[name] if content == "damaged" else b"")
    summary, details = summarise(run.folder), describe_run(run.folder)
    assert details.summary == summary
    assert summary.step == 10
    if name == "run.json":
        assert (summary.status, details.command) == ("damaged", "aurl train")
    said = name in {"run.json", "profile.toml"} and (name, content) != ("profile.toml", "empty")
    assert (name in summary.fault) == said
    assert [one.name for one in list_runs(run.folder.parent)] == ["one"]


def test_a_folder_in_the_place_of_a_file_is_damage_too(run):
    (run.folder / "run.json").unlink()
    (run.folder / "run.json").mkdir()
    assert summarise(run.folder).status == "damaged"
    assert "run.json" in summarise(run.folder).fault


def test_a_list_has_every_run_the_newest_first(tmp_path):
    for number, name in enumerate(("b", "a", ".hidden")):
        made = create_run(tmp_path / name, small_profile(), tmp_path)
        made.update(created=f"2026-01-0{number + 1}T00:00:00+00:00", parent={"name": "b"} if name == "a" else None)
    (tmp_path / "other").mkdir()
    assert [(one.name, one.parent) for one in list_runs(tmp_path)] == [("a", "b"), ("b", None)]
    assert list_runs(tmp_path / "nowhere") == []


def test_keys_of_a_profile_are_dotted_down_to_options(run):
    found = read_profile(run.folder)
    assert found["training.optimizer.kind"] == "muon"
    assert found["data.augment"] == []
    assert describe_run(run.folder).events == ()

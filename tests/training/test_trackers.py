"""Trackers are told what metrics.jsonl says, once, however often a run stops."""

import json
import math
import signal
import sqlite3
import sys
from pathlib import Path

import accelerate.tracking
import pytest
from accelerate import PartialState
from accelerate.tracking import GeneralTracker
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.support.training import small_profile, tensors, told

from aurl.errors import UsageError
from aurl.profile import read_resolved
from aurl.progress import Interrupts
from aurl.training import trackers
from aurl.training.log import read_metrics
from aurl.training.trackers import KINDS, Memory, Trackers, check_trackers, settings
from aurl.training.trainer import fit, resume


def scalars(run):
    """Tag → (step, value) of each event that TensorBoard would show."""
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def recorded(run):
    """The same from metrics.jsonl."""
    found = {}
    for record in read_metrics(run / "metrics.jsonl"):
        for name, value in record.items():
            if name != "step" and value is not None:
                found.setdefault(name, []).append((record["step"], pytest.approx(value, rel=1e-6)))
    return found


def test_tensorboard_has_what_the_run_wrote_also_after_resuming(dataset, tmp_path):
    profile = small_profile(max_steps=6, eval_every=3, checkpoint_every=3, trackers=["tensorboard"])
    fit(profile, dataset, tmp_path / "run", threads=1)
    assert scalars(tmp_path / "run") == recorded(tmp_path / "run")
    resume(tmp_path / "run", changes={"max_steps": 9})
    found = scalars(tmp_path / "run")
    assert found == recorded(tmp_path / "run")
    assert [step for step, _ in found["train/loss"]] == list(range(1, 10))
    assert [step for step, _ in found["valid/nats_per_note"]] == [3, 6, 9]
    assert read_resolved(tmp_path / "run" / "profile.toml").training.trackers == ("tensorboard",)
    (written,) = (tmp_path / "run" / "tensorboard").glob("*/hparams.yml")
    assert "training.lr: 0.003" in written.read_text()


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_training_does_not_depend_on_who_is_told(dataset, tmp_path, processes):
    """Stopped and resumed, with a tracker; against a run without either."""
    options = {"max_steps": 12, "eval_every": 4, "checkpoint_every": 4}
    fit(small_profile(**options), dataset, tmp_path / "alone", threads=1, processes=processes)
    interrupts = Interrupts()

    def stop(progress):
        interrupts.stop = signal.SIGTERM if progress.done >= 5 else None

    profile = small_profile(**options, trackers=["tensorboard"])
    common = {"threads": 1, "report": stop, "interrupts": interrupts, "processes": processes}
    assert fit(profile, dataset, tmp_path / "told", **common).interrupted
    assert resume(tmp_path / "told").step == 12
    assert told(tmp_path / "told") == told(tmp_path / "alone")
    assert tensors(tmp_path / "told") == tensors(tmp_path / "alone")
    assert scalars(tmp_path / "told") == recorded(tmp_path / "told")


def test_tensorboard_forgets_what_is_trained_again(tmp_path):
    """The process was killed at step 9; the checkpoint that it goes on from is of step 6."""
    first = Trackers(["tensorboard"], tmp_path, small_profile(), step=0)
    for step in range(1, 10):
        first.write(step, {"a": step / 10})
    second = Trackers(["tensorboard"], tmp_path, small_profile(), step=6)
    for step in range(7, 12):
        second.write(step, {"a": step / 100})
    second.close()
    first.close()
    values = [step / 10 for step in range(1, 7)] + [step / 100 for step in range(7, 12)]
    assert scalars(tmp_path) == {"a": [(n, pytest.approx(value)) for n, value in enumerate(values, start=1)]}


class Listing(GeneralTracker):
    """A tracker that can only append, as most do, to a file beside the run."""

    name = "listing"
    requires_logging_directory = False

    def __init__(self, run_name, folder, known_as):
        super().__init__()
        self.path = Path(folder, "told.jsonl")
        self.known_as = known_as or "new"

    def start(self):
        sys.stdout.write("starting aloud\n")

    @property
    def tracker(self):
        return self

    def _append(self, *value):
        with self.path.open("a") as file:
            file.write(json.dumps(value) + "\n")

    def store_init_configuration(self, values):
        self._append("settings", values["training.lr"])

    def log(self, values, step=None, **kwargs):
        if "fail" in values:
            raise ConnectionError("gone")
        self._append(step, dict(values))

    def finish(self):
        self._append("end", self.known_as)


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """What a tracker of the kind `listing` was told."""
    monkeypatch.setitem(accelerate.tracking.LOGGER_TYPE_TO_CLASS, "listing", Listing)
    kind = trackers._Kind(
        lambda: True,
        lambda folder, step, known_as: {"run_name": "x", "folder": folder, "known_as": known_as},
        lambda tracker: "known",
    )
    monkeypatch.setitem(KINDS, "listing", kind)
    return lambda: [tuple(json.loads(line)) for line in (tmp_path / "told.jsonl").read_text().splitlines()]


def test_trackers_that_only_append_are_told_nothing_twice(tmp_path, listed):
    first = Trackers(["listing"], tmp_path, small_profile(), step=0)
    for step in range(1, 5):
        first.write(step, {"a": step})
    first.write(4, {"valid/a": 0.5})
    # Killed, not closed; and once more at step 3, before it came to where it had been.
    Trackers(["listing"], tmp_path, small_profile(), step=2).write(3, {"a": 3})
    second = Trackers(["listing"], tmp_path, small_profile(), step=2)
    for step in range(3, 6):
        second.write(step, {"a": step})
        second.write(step, {"valid/a": 0.5, "valid/b": step})
    second.close()
    assert listed() == [
        ("settings", 3e-3),
        *((step, {"a": step}) for step in range(1, 5)),
        (4, {"valid/a": 0.5}),
        (4, {"valid/b": 4}),
        (5, {"a": 5}),
        (5, {"valid/a": 0.5, "valid/b": 5}),
        ("end", "known"),
    ]


def test_one_that_fails_is_left_out_and_the_others_go_on(tmp_path, listed, caplog):
    both = Trackers(["listing", "tensorboard"], tmp_path, small_profile(), step=0)
    both.write(1, {"a": 1.0})
    both.write(2, {"fail": 2.0})
    both.write(3, {"a": 3.0})
    both.close()
    assert listed() == [("settings", 3e-3), (1, {"a": 1.0})]
    assert scalars(tmp_path) == {"a": [(1, 1.0), (3, 3.0)], "fail": [(2, 2.0)]}
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "tracker listing is left out from now on: ConnectionError: gone"
    ]


def test_what_they_print_does_not_reach_stdout(tmp_path, listed, capsys, caplog):
    caplog.set_level("DEBUG", logger="aurl.training.trackers")
    Trackers(["listing"], tmp_path, small_profile(), step=0).close()
    assert capsys.readouterr().out == ""
    assert "listing: starting aloud" in caplog.text


def test_what_is_no_finite_number_is_not_told(tmp_path, listed):
    one = Trackers(["listing"], tmp_path, small_profile(), step=0)
    one.write(1, {"a": math.nan, "b": None, "c": 1.5})
    one.write(2, {"a": math.inf})
    one.sync()
    assert listed()[1:] == [(1, {"c": 1.5})]


@pytest.mark.parametrize("content", [b"", b"{", b'{"step": "x"}'])
def test_a_damaged_memory_is_none(tmp_path, content, listed):
    (tmp_path / "trackers.json").write_bytes(content)
    one = Trackers(["listing"], tmp_path, small_profile(), step=0)
    one.write(1, {"a": 1})
    assert listed() == [("settings", 3e-3), (1, {"a": 1})]


def test_memory():
    memory = Memory()
    assert memory.news(1, {"a": 1.0}) == {"a": 1.0}
    memory.note(1, ["a"])
    assert memory.news(1, {"a": 1.0, "b": 2.0}) == {"b": 2.0}
    memory.note(1, ["b"])
    assert memory.news(1, {"a": 1.0, "b": 2.0}) == memory.news(0, {"c": 1.0}) == {}
    memory.note(5, ["a"])
    assert (memory.step, memory.names) == (5, ["a"])


def test_settings_are_dotted_keys_with_single_values():
    found = settings(small_profile())
    assert found["training.lr"] == 3e-3
    assert found["model.mode"] == "transformer"
    assert found["training.schedule"] == '{ kind = "cosine" }'
    assert all(isinstance(value, str | int | float) for value in found.values())


@pytest.mark.parametrize("name", [name for name in KINDS if name != "tensorboard"])
def test_a_tracker_that_is_not_installed_is_an_error_before_anything_is_made(dataset, tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)  # as good as not installed, whether it is or not
    with pytest.raises(UsageError, match=f"{name} is not installed") as caught:
        fit(small_profile(max_steps=1, trackers=[name]), dataset, tmp_path / "run", threads=1)
    assert f"pip install {name}" in caught.value.hint
    assert not (tmp_path / "run").exists()
    check_trackers(["tensorboard"])


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """Nothing leaves this machine; and Accelerate has begun, as it has wherever training records."""
    PartialState(cpu=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))


def two_sittings(name, folder):
    """The first is killed at step 4, the second goes on from step 2 to step 5; closed only then."""
    folder.mkdir()
    first = Trackers([name], folder, small_profile(), step=0)
    for step in range(1, 5):
        first.write(step, {"train/loss": 1 / step})
    first.close()
    second = Trackers([name], folder, small_profile(), step=2)
    for step in range(3, 6):
        second.write(step, {"train/loss": 1 / step})
    second.close()


def test_mlflow(tmp_path, offline):
    mlflow = pytest.importorskip("mlflow")
    two_sittings("mlflow", tmp_path / "run")
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri())
    (found,) = client.search_runs([client.get_experiment_by_name("aurl").experiment_id])
    history = client.get_metric_history(found.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(step, 1 / step) for step in range(1, 6)]
    assert found.data.params["training.lr"] == "0.003"
    assert found.info.run_name == "run"


def test_wandb(tmp_path, offline):
    pytest.importorskip("wandb")
    two_sittings("wandb", tmp_path / "run")
    sittings = sorted((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    assert len({path.name for path in sittings}) == 1, "two sittings of one run"
    assert [path.read_bytes().count(b"train/loss") > 0 for path in sittings] == [True, True]


def test_trackio(tmp_path, offline):
    trackio = pytest.importorskip("trackio")
    from trackio import utils

    utils.TRACKIO_DIR = tmp_path / "trackio"
    two_sittings("trackio", tmp_path / "run")
    assert trackio.__version__
    (database,) = (tmp_path / "trackio").glob("*.db")
    with sqlite3.connect(database) as found:
        rows = found.execute("SELECT run_name, step FROM metrics ORDER BY step").fetchall()
    assert rows == [("run", step) for step in range(1, 6)]

import logging

import pytest
from tests.support.training import small_profile

from aurl.training.log import read_metrics
from aurl.training.recording import LogLines, Recorders
from aurl.training.trainer import fit


class Told:
    """Remembers what it was told, and fails when it is asked to."""

    def __init__(self, fails_at=None):
        self.told, self.fails_at = [], fails_at

    def write(self, step, metrics):
        if step == self.fails_at:
            raise OSError("full")
        self.told.append((step, dict(metrics)))

    def sync(self):
        if self.fails_at == "sync":
            raise OSError("full")
        self.told.append("sync")


def test_all_are_told_in_order():
    truth, other = Told(), Told()
    recorders = Recorders(truth, [other])
    recorders.write(1, {"a": 1.0})
    recorders.sync()
    assert truth.told == other.told == [(1, {"a": 1.0}), "sync"]


@pytest.mark.parametrize("fails_at", [1, "sync"])
def test_one_that_fails_is_left_out_with_a_warning(fails_at, caplog):
    truth, failing, other = Told(), Told(fails_at), Told()
    recorders = Recorders(truth, [failing, other])
    for step in (1, 2):
        recorders.write(step, {})
        recorders.sync()
    assert truth.told == other.told == [(1, {}), "sync", (2, {}), "sync"]
    assert failing.told == ([] if fails_at == 1 else [(1, {})])
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "OSError: full" in caplog.text


def test_what_must_be_written_fails_aloud():
    with pytest.raises(OSError, match="full"):
        Recorders(Told(1), [Told()]).write(1, {})
    with pytest.raises(OSError, match="full"):
        Recorders(Told("sync"), [Told()]).sync()


def test_a_line_has_what_the_log_promises(caplog):
    caplog.set_level(logging.INFO)
    metrics = {"epoch": 2, "batch": 5, "windows": 1200, "augmented": 800, "train/loss": 4.28612, "memory_mib": 393.84}
    LogLines().write(41, metrics)
    LogLines().sync()
    assert caplog.messages == [
        "step 41: epoch 2, batch 5, windows 1,200, augmented 800, train/loss 4.286, memory_mib 393.8"
    ]


def test_a_run_counts_its_windows_and_those_that_were_augmented(dataset, tmp_path):
    augment = [{"kind": "transpose", "probability": 0.5}]
    fit(small_profile(max_steps=6, data__augment=augment), dataset, tmp_path / "varied", threads=1)
    found = [record for record in read_metrics(tmp_path / "varied" / "metrics.jsonl") if "lr" in record]
    assert [record["windows"] for record in found] == [4 * step for step in range(1, 7)]
    counts = [record["augmented"] for record in found]
    assert counts == sorted(counts)
    assert 0 < counts[-1] < found[-1]["windows"]
    line = next(
        line for line in (tmp_path / "varied" / "train.log").read_text().splitlines() if "step 6: epoch" in line
    )
    assert f"[INFO] [training.recording] step 6: epoch {found[-1]['epoch']}, batch {found[-1]['batch']}" in line
    assert f"windows 24, augmented {counts[-1]}, train/loss" in line
    assert (tmp_path / "varied" / "dashboard.html").is_file()


def test_without_augmentation_there_is_none_to_count(dataset, tmp_path):
    result = fit(small_profile(max_steps=2), dataset, tmp_path / "plain", threads=1)
    assert result.metrics["windows"] == 8
    assert "augmented" not in result.metrics

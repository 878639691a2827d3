"""What a run does by itself: bounds, early stopping, what it writes down, how it fails."""

import json
import logging
import math
import re
import signal

import pytest
import torch
from tests.support.training import facts, latent_profile, small_profile, told, write_dataset

from aurl.data.batching import collate
from aurl.data.dataset import TokenDataset
from aurl.errors import NotFoundError, UsageError
from aurl.generation.load import load_run
from aurl.loss.reconstruction import targets_of
from aurl.progress import Interrupts
from aurl.tokens.vocabulary import NOTE_ON, PAD
from aurl.training.monitor import DivergedError
from aurl.training.trainer import fit, resume


def train(dataset, run, *, interrupts=None, report=lambda progress: None, **training):
    return fit(small_profile(**training), dataset, run, threads=1, interrupts=interrupts, report=report)


def test_a_run_learns_and_tells_of_it(dataset, tmp_path):
    notes = []
    result = train(dataset, tmp_path / "run", max_steps=80, report=notes.append)
    losses = [record["train/nats_per_token"] for record in told(tmp_path / "run") if "lr" in record]
    assert losses[0] > 5.5  # about ln of the vocabulary
    assert losses[-1] < losses[0] - 2
    assert [(note.done, note.total) for note in notes] == [(step, 80) for step in range(1, 81)]
    assert re.fullmatch(r"\d\.\d{3} nats/token · [\d,]+ tokens/s", notes[40].note)
    assert 0 < notes[40].seconds_left < 60
    assert (result.status, result.reason, result.step, result.interrupted) == ("finished", "max_steps", 80, False)


def test_the_run_folder_says_everything(dataset, tmp_path):
    result = train(dataset, tmp_path / "run", max_steps=5)
    known = facts(tmp_path / "run")
    expected = {"status": "finished", "reason": "max_steps", "step": 5, "dataset": str(dataset), "precision": "fp32"}
    assert expected.items() <= known.items()
    assert known["parameters"] == result.parameters
    assert {"profile.toml", "run.json", "metrics.jsonl", "train.log", "checkpoints"} <= {
        path.name for path in (tmp_path / "run").iterdir()
    }
    line = re.compile(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\] \[(INFO|WARNING)\] \[training\.\w+\] .+$")
    assert all(line.match(text) for text in (tmp_path / "run" / "train.log").read_text().splitlines())


def test_validation_is_the_likelihood_of_every_target_of_the_split_once(dataset, tmp_path):
    """Computed again window by window, with the weights that `generate` would load."""
    result = train(dataset, tmp_path / "run", max_steps=30, eval_every=30)
    model = load_run(tmp_path / "run", checkpoint="latest").model
    windows = TokenDataset(dataset, "valid", seq_len=48)
    nats = tokens = notes = 0.0
    for index in range(len(windows)):
        batch = collate(windows.__getitems__([index]))
        targets = targets_of(batch["ids"], batch["context"])[0]
        with torch.no_grad():
            logits = model(batch["ids"][:, :-1], start_steps=batch["start_steps"])[0]
        scored = targets != PAD
        nats -= logits.log_softmax(-1)[scored].gather(1, targets[scored, None]).sum().item()
        tokens += scored.sum().item()
        notes += (targets < NOTE_ON.stop).sum().item()
    pieces = [windows.piece(number) for number in range(len(windows.pieces))]
    assert tokens == sum(len(ids) - 1 for ids in pieces) == result.metrics["valid/tokens"]
    assert notes == sum(int((ids < NOTE_ON.stop).sum()) for ids in pieces)
    assert result.metrics["valid/nats_per_token"] == pytest.approx(nats / tokens, rel=1e-5)
    assert result.metrics["valid/nats_per_note"] == pytest.approx(nats / notes, rel=1e-5)


def test_patience_ends_a_run_and_the_best_checkpoint_stays(dataset, tmp_path):
    result = train(dataset, tmp_path / "run", lr=0.3, eval_every=2, patience=3, keep_last=1, clipping={"kind": "none"})
    values = [record["valid/nats_per_note"] for record in told(tmp_path / "run") if "valid/nats_per_note" in record]
    assert result.reason == "patience"
    assert result.best_nats_per_note == min(values)
    assert values.index(min(values)) == len(values) - 1 - 3
    assert load_run(tmp_path / "run", checkpoint="best").step == result.best_step == result.step - 6


def test_minutes_end_a_run_and_are_counted_over_all_sittings(dataset, tmp_path):
    result = train(dataset, tmp_path / "run", max_minutes=0.04, log_every=1)
    assert result.reason == "max_minutes"
    assert result.seconds >= 2.4
    again = resume(tmp_path / "run")
    assert (again.reason, again.step) == ("max_minutes", result.step)
    rates = [record["lr"] for record in told(tmp_path / "run") if "lr" in record]
    assert rates[-1] < 0.5 * max(rates)  # the schedule came down although nobody knew the number of steps


def test_no_minutes_are_left_where_the_last_step_was_saved_before_they_were_over(dataset, tmp_path):
    result = train(dataset, tmp_path / "run", max_minutes=0.02, eval_every=1, checkpoint_every=1)
    assert (result.reason, result.seconds >= 1.2) == ("max_minutes", True)
    assert resume(tmp_path / "run").step == result.step


def test_without_bound_and_validation_the_horizon_ends_a_run(tmp_path):
    dataset = write_dataset(tmp_path / "music", pieces=6, valid=0)
    result = train(dataset, tmp_path / "run", horizon_steps=7)
    assert (result.reason, result.step, result.best_nats_per_note) == ("horizon_steps", 7, None)


def test_rate_follows_the_schedule(dataset, tmp_path):
    train(dataset, tmp_path / "run", max_steps=50, min_lr_ratio=0.1)
    rates = [record["lr"] for record in told(tmp_path / "run") if "lr" in record]
    assert rates[0] == pytest.approx(3e-3 / 10)
    assert rates[9] == pytest.approx(3e-3)
    assert rates[30] == pytest.approx(3e-3 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 0.5))))


def test_a_save_is_made_on_request(dataset, tmp_path):
    interrupts = Interrupts()

    def report(progress):
        interrupts.save = interrupts.save or progress.done == 4

    train(dataset, tmp_path / "run", max_steps=8, checkpoint_every=100, interrupts=interrupts, report=report)
    steps = sorted(path.name for path in (tmp_path / "run" / "checkpoints").glob("step-*"))
    assert steps == ["step-00000004", "step-00000008"]
    assert not interrupts.save


def test_a_signal_saves_and_stops_before_the_next_step(dataset, tmp_path):
    interrupts = Interrupts()

    def report(progress):
        interrupts.stop = signal.SIGINT if progress.done == 6 else interrupts.stop

    result = train(dataset, tmp_path / "run", interrupts=interrupts, report=report)
    assert (result.status, result.signal, result.step) == ("interrupted", signal.SIGINT, 6)
    assert facts(tmp_path / "run")["status"] == "interrupted"
    assert (tmp_path / "run" / "checkpoints" / "latest").read_text() == "step-00000006\n"


def test_samples_are_written_and_change_nothing(dataset, tmp_path):
    result = train(dataset, tmp_path / "with", max_steps=12, sample_every=5)
    train(dataset, tmp_path / "without", max_steps=12, sample_every=0)
    assert [path.name for path in result.samples] == ["step-00000005.mid", "step-00000010.mid"]
    assert all(path.read_bytes().startswith(b"MThd") for path in result.samples)
    with_samples, without = told(tmp_path / "with"), told(tmp_path / "without")
    measured = [record for record in with_samples if "sample/overlap" in record]
    assert [record["step"] for record in measured] == [5, 10]
    assert [record for record in with_samples if record not in measured] == without


def test_a_failing_sample_is_logged_and_training_goes_on(dataset, tmp_path):
    (tmp_path / "run").mkdir()
    interrupts = Interrupts()

    def block(progress):
        if progress.done == 1:
            (tmp_path / "run" / "samples").write_text("in the way")

    result = train(dataset, tmp_path / "run", max_steps=4, sample_every=2, interrupts=interrupts, report=block)
    assert (result.step, result.samples) == (4, ())
    assert "no sample at step 2" in (tmp_path / "run" / "train.log").read_text()


def test_divergence_stops_with_the_last_good_checkpoint(dataset, tmp_path):
    train(dataset, tmp_path / "run", max_steps=20)
    with pytest.raises(DivergedError, match="step 20") as caught:
        resume(tmp_path / "run", changes={"max_steps": 40, "lr": 1e38})
    assert "training.lr" in caught.value.hint
    assert (tmp_path / "run" / "checkpoints" / "latest").read_text() == "step-00000020\n"
    assert facts(tmp_path / "run")["status"] == "failed"
    assert resume(tmp_path / "run", changes={"lr": 1e-3}).step == 40
    assert facts(tmp_path / "run")["error"] is None
    assert [record["step"] for record in told(tmp_path / "run") if "lr" in record] == list(range(1, 41))


def test_existing_runs_are_not_overwritten(dataset, tmp_path):
    train(dataset, tmp_path / "run", max_steps=1)
    with pytest.raises(UsageError, match="exists already"):
        train(dataset, tmp_path / "run", max_steps=1)


def test_no_run_is_left_behind_where_there_is_nothing_to_train_on(dataset, tmp_path):
    empty = write_dataset(tmp_path / "music", pieces=2, valid=2)
    with pytest.raises(UsageError, match="train split"):
        train(empty, tmp_path / "run")
    with pytest.raises(NotFoundError):
        train(tmp_path / "nowhere", tmp_path / "run")
    with pytest.raises(UsageError, match="windows of 4 tokens"):
        train(dataset, tmp_path / "run", data__seq_len=4)
    assert not (tmp_path / "run").exists()


def test_half_precision_trains_and_is_kept_to(dataset, tmp_path):
    result = train(dataset, tmp_path / "run", max_steps=30, precision="bf16")
    assert facts(tmp_path / "run")["precision"] == "bf16"
    assert result.metrics["train/nats_per_token"] < 5.5
    assert train(dataset, tmp_path / "next", max_steps=2, precision="fp32").step == 2
    assert facts(tmp_path / "next")["precision"] == "fp32"


LEVELS = ("global", "local", "fine")
PHASES = {"beta", "word_dropout", "stage", "discriminator_stage", "discriminator_lr"}


def test_with_a_discriminator_everything_is_told_in_its_time(dataset, tmp_path):
    """Of 20 steps the first 4 without it; by the stages it hears more after 8.8 and after 13.6."""
    result = fit(latent_profile("vae_gan", max_steps=20, precision="bf16"), dataset, tmp_path / "run", threads=1)
    records = [record for record in told(tmp_path / "run") if "lr" in record]
    stages = [record["discriminator_stage"] for record in records]
    assert stages == [0] * 4 + [1] * 5 + [2] * 5 + [3] * 6
    judged = {"train/adversarial", "train/feature_matching", "train/discriminator", "train/discriminator_accuracy"}
    assert [judged <= set(record) for record in records] == [stage > 0 for stage in stages]
    assert [(record["beta"], record["word_dropout"]) for record in (records[0], records[-1])] == [
        (0.01, 0.3),
        (1.0, 0.0),
    ]
    assert all(record["train/discriminator_accuracy"] <= 1 for record in records[4:])
    assert records[-1]["train/nats_per_token"] < records[0]["train/nats_per_token"]
    names = {f"valid/{name}_{level}" for name in ("kl", "active_units", "shuffled_cost") for level in LEVELS}
    assert names | {"valid/elbo_per_token", "valid/kl_per_token", "valid/shuffled_cost_all"} <= set(result.metrics)
    assert result.best_nats_per_note == result.metrics["valid/elbo_per_note"]
    assert load_run(tmp_path / "run").step == 20


def test_without_latents_nothing_is_told_of_them(dataset, tmp_path):
    result = train(dataset, tmp_path / "run", max_steps=2)
    kinds = ("note_on", "note_off", "time_shift", "velocity", "control")
    expected = {"loss", "nats_per_token", "nats_per_note", *(f"nll_{kind}" for kind in kinds)}
    assert {name for name in result.metrics if name.startswith("train/")} == {f"train/{name}" for name in expected}
    expected = {"nats_per_token", "nats_per_note", "tokens", "notes"}
    assert {name for name in result.metrics if name.startswith("valid/")} == {f"valid/{name}" for name in expected}
    assert not PHASES & set(result.metrics)


def test_patience_waits_until_beta_has_settled(dataset, tmp_path):
    """At a rate of nothing the first validation stays the best; beta has risen at step 12."""
    profile = latent_profile("vae", lr=1e-30, horizon_steps=20, max_steps=20, eval_every=2, patience=2)
    result = fit(profile, dataset, tmp_path / "run", threads=1)
    waiting = [r["evaluations_since_best"] for r in told(tmp_path / "run") if "evaluations_since_best" in r]
    assert waiting == [0, 0, 0, 0, 0, 1, 2]
    assert (result.reason, result.step, result.best_step) == ("patience", 14, 2)


def test_fp16_needs_a_gpu(dataset, tmp_path):
    with pytest.raises(UsageError, match="fp16"):
        train(dataset, tmp_path / "run", precision="fp16")


def test_smoothing_is_learned_but_not_reported_as_likelihood(dataset, tmp_path):
    train(dataset, tmp_path / "run", max_steps=3, label_smoothing=0.2)
    record = told(tmp_path / "run")[0]
    assert record["train/loss"] != record["train/nats_per_token"]


def test_metrics_are_json_and_logging_is_left_as_it_was(dataset, tmp_path):
    before = logging.getLogger("aurl").handlers[:]
    train(dataset, tmp_path / "run", max_steps=3, eval_every=2)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 2, 3, 3]
    assert logging.getLogger("aurl").handlers == before

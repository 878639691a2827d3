"""Runs that are harmed: what is noticed and left out, where training goes on, and that all of it can be resumed."""

import json
import math
import signal

import pytest
from safetensors.torch import load_file
from tests.support.faults import harmed, nan_gradients_at, nan_logits_at, nan_outputs_at
from tests.support.training import facts, latent_profile, small_profile, tensors, told

from aurl.errors import UsageError
from aurl.model.latents.posterior import PosteriorHead
from aurl.progress import Interrupts
from aurl.training import rollback, sitting
from aurl.training.events import ALARM, DIVERGED, ROLLBACK, SKIPPED, SPIKE, read_events
from aurl.training.monitor import DivergedError
from aurl.training.trainer import fit, resume

BAD = [(0, 13), (0, 14), (0, 15)]
"""Three batches in a row; the newest checkpoint is then of step 10."""


def train(dataset, run, *, stops=(), profile=None, **training):
    """Train in as many sittings as there are stops, and one."""
    interrupts = Interrupts()

    def report(progress):
        if stops and progress.done == stops[0]:
            interrupts.stop = signal.SIGTERM

    profile = profile or small_profile(**{"max_steps": 24, **training})
    result = fit(profile, dataset, run, threads=1, interrupts=interrupts, report=report)
    while result.interrupted:
        stops = stops[1:]
        interrupts.stop = None
        result = resume(run, interrupts=interrupts, report=report)
    return result


@pytest.fixture(scope="module")
def spoilt(dataset, tmp_path_factory):
    """A run with a bad stretch, in one sitting; not to be changed."""
    run = tmp_path_factory.mktemp("spoilt") / "run"
    with harmed(nan_logits_at(BAD)):
        train(dataset, run)
    return run


def kinds(run) -> list[tuple[int, str]]:
    return [(event["step"], event["kind"]) for event in read_events(run / "events.jsonl") if event["kind"] != ALARM]


def lines(run) -> dict[int, dict[str, float]]:
    return {record["step"]: record for record in told(run) if "lr" in record}


def state(run, step) -> dict:
    return json.loads((run / "checkpoints" / f"step-{step:08d}" / "state.json").read_text())


def test_one_bad_batch_is_left_out_and_nothing_else_changes(dataset, tmp_path):
    with harmed(nan_logits_at([(0, 3)])):
        train(dataset, tmp_path / "run", max_steps=6, checkpoint_every=1, keep_last=9, ema_decay=0.0)
    assert kinds(tmp_path / "run") == [(4, SKIPPED)]
    told_of = lines(tmp_path / "run")
    assert told_of[4]["broken_updates"] == 1
    assert "train/loss" not in told_of[4]
    assert all("broken_updates" not in told_of[step] for step in (3, 5, 6))
    saved = {}
    for step in (3, 5, 6):
        (tmp_path / "run" / "checkpoints" / "latest").write_text(f"step-{step:08d}")
        saved[step] = {k: v for k, v in tensors(tmp_path / "run").items() if k.partition("/")[0] != "random"}
    assert not (tmp_path / "run" / "checkpoints" / "step-00000004").exists(), "suspicious when its time had come"
    straight = tmp_path / "straight"
    train(dataset, straight, max_steps=3, checkpoint_every=1, ema_decay=0.0, horizon_steps=6)
    assert {key for key in saved[3] if saved[3][key] != saved[5][key]} == set(saved[3])
    assert state(tmp_path / "run", 5)["training"]["batch"] == 5


def test_a_bad_batch_leaves_no_trace_in_running_statistics(dataset, tmp_path):
    """They are taken in the forward pass, before anybody knows of the gradient."""

    def means(session):
        return next(one.mean for one in session.learner.plain.modules() if isinstance(one, PosteriorHead))

    run, profile = tmp_path / "run", latent_profile("vae", max_steps=6, eval_every=6, latent__batch_norm=True)
    with harmed(nan_outputs_at([(0, 3)], means)):
        train(dataset, run, profile=profile)
    assert kinds(run) == [(4, SKIPPED)]
    assert math.isfinite(told(run)[-1]["valid/elbo_per_note"])
    weights = load_file(run / "checkpoints" / "step-00000006" / "model.safetensors")
    statistics = [tensor for name, tensor in weights.items() if "running_" in name]
    assert len(statistics) == 6
    assert all(tensor.isfinite().all() for tensor in statistics)


@pytest.mark.parametrize("deceives", [False, True])
def test_a_gradient_of_the_discriminator_that_is_no_number_is_left_out(dataset, tmp_path, deceives):
    """Of both sides, whether or not the generator listens."""
    options = {"discriminator__start": 0.0, "discriminator__warm_start": 0 if deceives else 9}
    run, profile = tmp_path / "run", latent_profile("vae_gan", max_steps=6, **options)
    with harmed(nan_gradients_at([(0, 3)], lambda session: next(session.learner.adversary.plain.parameters()))):
        train(dataset, run, profile=profile)
    assert kinds(run) == [(4, SKIPPED)]
    weights = load_file(run / "checkpoints" / "step-00000006" / "discriminator.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values())
    assert state(run, 6)["memory"]["stabiliser"]["updates"] == 5


def test_a_bad_stretch_is_gone_back_from_and_around(dataset, spoilt, tmp_path):
    train(dataset, tmp_path / "sound")
    assert (facts(spoilt)["step"], facts(spoilt)["status"], facts(spoilt)["reason"]) == (24, "finished", "max_steps")
    assert kinds(spoilt) == [(14, SKIPPED), (15, SKIPPED), (16, SKIPPED), (16, ROLLBACK)]
    event = next(event for event in read_events(spoilt / "events.jsonl") if event["kind"] == ROLLBACK)
    assert (event["to_step"], event["epoch"], event["batch"], event["rate"]) == (10, 0, 16, 0.5)
    assert "no finite gradient in 3 updates" in event["message"]
    ours, sound = lines(spoilt), lines(tmp_path / "sound")
    assert list(ours) == list(range(1, 25))
    assert {step: ours[step] for step in range(1, 11)} == {step: sound[step] for step in range(1, 11)}
    assert [ours[step]["lr"] for step in range(11, 25)] == [sound[step]["lr"] / 2 for step in range(11, 25)]
    assert ours[11]["batch"] == 17


@pytest.mark.parametrize(
    "stops",
    [(12, 17), pytest.param((14, 15), marks=pytest.mark.slow), pytest.param((11, 20, 21), marks=pytest.mark.slow)],
)
def test_stops_around_a_rollback_change_nothing(dataset, spoilt, tmp_path, stops):
    with harmed(nan_logits_at(BAD)):
        train(dataset, tmp_path / "parts", stops=stops)
    assert told(tmp_path / "parts") == told(spoilt)
    assert tensors(tmp_path / "parts") == tensors(spoilt)
    assert kinds(tmp_path / "parts") == kinds(spoilt)


def test_killed_between_a_rollback_and_what_comes_of_it(dataset, spoilt, tmp_path, monkeypatch):
    write = rollback.write_event

    def write_and_die(*given):
        write(*given)
        raise KeyboardInterrupt

    with harmed(nan_logits_at(BAD)):
        monkeypatch.setattr(rollback, "write_event", write_and_die)
        with pytest.raises(KeyboardInterrupt):
            train(dataset, tmp_path / "killed")
        monkeypatch.undo()
        resume(tmp_path / "killed")
    assert told(tmp_path / "killed") == told(spoilt)
    assert tensors(tmp_path / "killed") == tensors(spoilt)
    assert kinds(tmp_path / "killed") == kinds(spoilt)


def test_a_run_that_is_lost_again_and_again_is_given_up_with_advice(dataset, tmp_path):
    everything = [(epoch, batch) for epoch in range(3) for batch in range(99)]
    with harmed(nan_logits_at(everything)), pytest.raises(DivergedError, match="there is no checkpoint yet") as caught:
        train(dataset, tmp_path / "run", watching__rollbacks=2)
    assert "training.lr" in caught.value.hint
    assert [kind for _, kind in kinds(tmp_path / "run") if kind != SKIPPED] == [ROLLBACK, ROLLBACK, DIVERGED]
    assert facts(tmp_path / "run")["status"] == "failed"
    assert resume(tmp_path / "run").step == 24
    train(dataset, tmp_path / "sound")
    assert tensors(tmp_path / "run") == tensors(tmp_path / "sound"), "as if it had not been tried"


def test_a_loss_that_rises_is_noticed_before_it_is_saved_and_recovers_at_a_lower_rate(dataset, tmp_path):
    settings = {"max_steps": 60, "checkpoint_every": 5, "eval_every": 30, "watching__rollback_rate": 1e-3}
    fit(small_profile(**{**settings, "max_steps": 30}), dataset, tmp_path / "run", threads=1)
    result = resume(tmp_path / "run", changes={"max_steps": 60, "lr": 10.0})
    found = [(step, kind) for step, kind in kinds(tmp_path / "run") if step > 30]
    back = next(event for event in read_events(tmp_path / "run" / "events.jsonl") if event["kind"] == ROLLBACK)
    assert (result.step, back["to_step"]) == (60, 30)
    assert back["step"] <= 30 + 5 + 3
    assert found[0][1] == SPIKE
    assert lines(tmp_path / "run")[31]["lr"] < 0.01
    assert lines(tmp_path / "run")[60]["train/loss"] < 6


@pytest.mark.slow
def test_two_processes_go_back_together_and_can_be_resumed(dataset, tmp_path):
    """A rate that nothing survives, and rollbacks that make one of 1e-3 of it."""
    settings = {"max_steps": 96, "lr": 1e30, "watching__rollback_rate": 1e-33}
    fit(small_profile(**settings), dataset, tmp_path / "whole", threads=1, processes=2)
    interrupts = Interrupts()

    def report(progress):
        interrupts.stop = signal.SIGTERM if progress.done >= 12 else None

    options = {"threads": 1, "processes": 2, "interrupts": interrupts, "report": report}
    first = fit(small_profile(**settings), dataset, tmp_path / "parts", **options)
    assert first.interrupted
    assert resume(tmp_path / "parts").step == 96
    assert [kind for _, kind in kinds(tmp_path / "whole")].count(ROLLBACK) == 1
    assert kinds(tmp_path / "parts") == kinds(tmp_path / "whole")
    assert told(tmp_path / "parts") == told(tmp_path / "whole")
    assert tensors(tmp_path / "parts") == tensors(tmp_path / "whole")


@pytest.mark.parametrize(
    ("best_by", "mode", "stops"),
    [
        ("auto", "auto", (9,)),
        ("valid/nats_per_token", "max", ()),
        pytest.param("train/loss", "auto", (), marks=pytest.mark.slow),
        pytest.param("lr", "max", (5,), marks=pytest.mark.slow),
    ],
)
def test_the_best_checkpoints_by_any_number_are_kept(dataset, tmp_path, best_by, mode, stops):
    wish = {"keep_best": 3, "keep_last": 1, "best_by": best_by, "best_mode": mode, "eval_every": 2, "patience": 99}
    run = tmp_path / "run"
    train(dataset, run, max_steps=18, checkpoint_every=50, stops=stops, **wish)
    name = "valid/nats_per_note" if best_by == "auto" else best_by
    values, newest = {}, {}
    for record in told(run):
        newest |= record
        if "valid/nats_per_note" in record:
            values[record["step"]] = newest[name]
    sign = -1 if mode == "max" else 1
    best = sorted(values, key=lambda step: (sign * values[step], step))[:3]
    kept = sorted(path.name for path in (run / "checkpoints").glob("step-*"))
    assert kept == sorted({f"step-{step:08d}" for step in [*best, 18]})
    assert (run / "checkpoints" / "best").read_text() == f"step-{best[0]:08d}\n"
    assert state(run, 18)["ranking"] == best


def test_each_nth_checkpoint_may_stay_for_good(dataset, tmp_path):
    train(dataset, tmp_path / "run", max_steps=20, checkpoint_every=2, eval_every=50, keep_last=2, keep_every=6)
    kept = sorted(int(path.name[5:]) for path in (tmp_path / "run" / "checkpoints").glob("step-*"))
    assert [step for step in kept if step < 18] == [6, 12]
    assert kept[-2:] == [18, 20]


SAMPLING = {
    "sample_every": 4,
    "max_steps": 13,
    "watching__samples": 2,
    "best_by": "sample/note_density",
    "watching__patience_on": ["sample/overlap", "valid/nats_per_note"],
}


def test_samples_are_measured_and_may_decide_and_a_stop_meanwhile_changes_nothing(dataset, tmp_path, monkeypatch):
    train(dataset, tmp_path / "whole", **SAMPLING)
    write = sitting.write_samples
    asked = []

    def stop_and_write(session, interrupts):
        if not asked:
            asked.append(interrupts)
            interrupts.stop = signal.SIGTERM
        return write(session, interrupts)

    monkeypatch.setattr(sitting, "write_samples", stop_and_write)
    train(dataset, tmp_path / "parts", **SAMPLING)
    assert asked
    assert told(tmp_path / "parts") == told(tmp_path / "whole")
    assert tensors(tmp_path / "parts") == tensors(tmp_path / "whole")
    saved = [state(tmp_path / name, 13)["training"] for name in ("whole", "parts")]
    assert [one["ranking"] for one in saved] == [saved[0]["ranking"]] * 2
    assert set(saved[0]["bests"]) <= {"sample/overlap", "valid/nats_per_note"}
    densities = {r["step"]: r["sample/note_density"] for r in told(tmp_path / "whole") if "sample/overlap" in r}
    assert list(densities) == [4, 8, 12]
    assert saved[0]["ranking"][0]["value"] == min(densities.values())


@pytest.mark.parametrize("wish", ["valid/elbo_per_note", "sample/overlap", "sample/nonsense"])
def test_what_will_not_be_measured_is_refused_before_anything_is_trained(dataset, tmp_path, wish):
    with pytest.raises(UsageError, match=f"{wish} is not measured"):
        train(dataset, tmp_path / "run", best_by=wish)
    assert not (tmp_path / "run").exists()


def test_numbers_of_training_that_never_come_are_told_of_once(dataset, tmp_path, caplog):
    train(dataset, tmp_path / "run", max_steps=6, eval_every=2, log_every=1, best_by="train/nats_per_tokn")
    said = [record.message for record in caplog.records if "should count" in record.message]
    expected = "train/nats_per_tokn should count, but has not been logged so far: nothing is better by it"
    assert said == [f"{expected}; did you mean train/nats_per_token?"]


def test_a_checkpoint_says_where_it_comes_from(dataset, tmp_path):
    train(dataset, tmp_path / "run", max_steps=10)
    saved = state(tmp_path / "run", 10)
    assert {"aurl", "torch", "saved", "profile_hash", "codec"} <= set(saved)
    newest = saved["training"]["newest"]
    assert newest["train/loss"] == lines(tmp_path / "run")[10]["train/loss"]
    assert newest["valid/nats_per_note"] == saved["training"]["ranking"][0]["value"]


def test_every_line_tells_what_there_is_to_watch(dataset, tmp_path):
    result = train(dataset, tmp_path / "run", max_steps=8, log_every=4, clipping={"kind": "norm", "max_norm": 0.7})
    for name in ("loss_variance", "gradient_norm", "gradient_norm_max", "share_of_peak", "memory_mib", "eta_seconds"):
        assert result.metrics[name] >= 0, name
    assert result.metrics["gradient_norm_max"] > result.metrics["gradient_norm"] > 0.7
    assert result.metrics["clipped"] == 1.0
    single = tmp_path / "single"
    train(dataset, single, max_steps=8, log_every=1, clipping={"kind": "norm", "max_norm": 0.7})
    losses = [lines(single)[step]["train/loss"] for step in range(5, 9)]
    mean = sum(losses) / 4
    assert result.metrics["loss_variance"] == pytest.approx(sum((loss - mean) ** 2 for loss in losses) / 4, rel=1e-9)
    norms = [lines(single)[step]["gradient_norm"] for step in range(5, 9)]
    assert result.metrics["gradient_norm_max"] == max(norms)


@pytest.mark.slow
def test_a_posterior_that_collapses_is_told_of(dataset, tmp_path):
    """Without free bits, echo and bag, and with a KL divergence that weighs much."""
    nothing = {f"loss__{key}": 0.0 for key in ("free_bits_global", "free_bits_local", "free_bits_fine", "bag", "echo")}
    settings = {"loss__beta": 20.0, "loss__kl_schedule": {"kind": "constant"}, "ema_decay": 0.0, "log_every": 10}
    profile = latent_profile("vae", **nothing, **settings, max_steps=140)
    train(dataset, tmp_path / "run", profile=profile)
    alarms = [event for event in read_events(tmp_path / "run" / "events.jsonl") if event["kind"] == ALARM]
    collapse = [event for event in alarms if event["name"] == "posterior_collapse"]
    assert [event["on"] for event in collapse] == [True]
    assert "free_bits" in collapse[0]["advice"]

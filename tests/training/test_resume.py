"""A run that was stopped and resumed is, bit by bit, the run that was not."""

import json
import shutil
import signal

import pytest
from tests.support.training import facts, latent_profile, small_profile, tensors, told

from aurl.errors import DamagedError, LockedError, UsageError
from aurl.progress import Interrupts
from aurl.storage import lock, write_json, write_manifest
from aurl.training.trainer import fit, resume

THREADS = 1


def stopping_at(*steps: int) -> tuple[Interrupts, object]:
    """Interrupts that ask to stop once, after one of the steps, as a signal would."""
    interrupts = Interrupts()

    def report(progress):
        if progress.done in steps:
            interrupts.stop = signal.SIGTERM

    return interrupts, report


def fit_in_sittings(profile, dataset, run, stops, **options):
    interrupts, report = stopping_at(stops[0])
    result = fit(profile, dataset, run, threads=THREADS, interrupts=interrupts, report=report, **options)
    for stop in stops[1:]:
        assert (result.interrupted, result.signal) == (True, signal.SIGTERM)
        interrupts, report = stopping_at(stop)
        result = resume(run, interrupts=interrupts, report=report)
    return resume(run)


def assert_same(whole, parts):
    assert told(parts) == told(whole)
    assert tensors(parts) == tensors(whole)


@pytest.mark.parametrize(
    ("steps", "stops"),
    [(40, [3, 19, 20, 22]), pytest.param(200, [3, 26, 27, 29, 60, 111, 199], marks=pytest.mark.slow)],
)
def test_stopping_anywhere_changes_nothing(dataset, tmp_path, steps, stops):
    """Stops lie inside epochs, at their ends, inside intervals of the log, and one step apart."""
    profile = small_profile(max_steps=steps, log_every=7)
    straight = fit(profile, dataset, tmp_path / "whole", threads=THREADS)
    result = fit_in_sittings(profile, dataset, tmp_path / "parts", stops)
    assert (straight.step, result.step, result.reason) == (steps, steps, "max_steps")
    assert straight.metrics["epoch"] >= steps // 40
    assert_same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.slow
def test_accumulation_workers_and_plain_weights(dataset, tmp_path):
    profile = small_profile(max_steps=25, accumulation=3, ema_decay=0.0, data__workers=2)
    fit(profile, dataset, tmp_path / "whole", threads=THREADS)
    fit_in_sittings(profile, dataset, tmp_path / "parts", [8, 13])
    assert_same(tmp_path / "whole", tmp_path / "parts")


ELABORATE = {
    "data__batch_tokens": 200,
    "data__truncation": {"kind": "adaptive"},
    "data__curriculum": {"kind": "complexity", "epochs": 1.5},
    "data__augment": [{"kind": "transpose"}, {"kind": "velocity", "ramp_epochs": 2}],
    "data__hybrid": True,
}


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_whatever_batches_are_made_of(dataset, tmp_path, workers):
    """Boundaries, order, sizes and augmentations are drawn; stops lie in three epochs."""
    profile = small_profile(max_steps=45, data__workers=workers, **ELABORATE)
    assert fit(profile, dataset, tmp_path / "whole", threads=THREADS).metrics["epoch"] >= 1
    fit_in_sittings(profile, dataset, tmp_path / "parts", [4, 17, 33])
    assert_same(tmp_path / "whole", tmp_path / "parts")


BALANCED = {
    "discriminator__warm_start": 4,
    "discriminator__measure_every": 3,
    "discriminator__skip_above": 0.6,
    "discriminator__skip_below": 0.45,
    "discriminator__weight_cap": 5.0,
    "discriminator__r1": 0.5,
    "discriminator__r1_every": 3,
    "discriminator__gradient_penalty": 0.1,
    "discriminator__harm": 0.01,
}


@pytest.mark.parametrize(
    "profile",
    [
        latent_profile("vae_gan", max_steps=24, log_every=7, eval_every=6, **BALANCED),
        pytest.param(latent_profile("vae", max_steps=40, accumulation=2), marks=pytest.mark.slow),
        pytest.param(latent_profile("vae", max_steps=30, latent__batch_norm=True), marks=pytest.mark.slow),
        pytest.param(latent_profile("vae_gan", max_steps=40, accumulation=2, **BALANCED), marks=pytest.mark.slow),
    ],
    ids=["vae_gan", "vae", "batch_norm", "vae_gan_accumulating"],
)
def test_with_latents_and_a_discriminator(dataset, tmp_path, profile):
    """Stops lie before the discriminator's time, and in two of its stages.

    Draws from posteriors, hidden words and ids that the discriminator hears come from the generators that are saved.
    Whose turn it is, how much the adversary counts, and when its penalty is due are remembered, too.
    """
    fit(profile, dataset, tmp_path / "whole", threads=THREADS)
    fit_in_sittings(profile, dataset, tmp_path / "parts", [3, 11, 20])
    assert_same(tmp_path / "whole", tmp_path / "parts")
    saved = {name.partition("/")[0] for name in tensors(tmp_path / "parts")}
    assert ("discriminator" in saved, "discriminator_optimizer" in saved) == (profile.model.mode == "vae_gan",) * 2


def test_what_was_trained_after_the_newest_checkpoint_is_trained_again(dataset, tmp_path):
    """As after SIGKILL: records without a checkpoint, a torn line, half a checkpoint."""
    profile = small_profile(max_steps=30)
    fit(profile, dataset, tmp_path / "whole", threads=THREADS)
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    checkpoints = tmp_path / "killed" / "checkpoints"
    shutil.rmtree(checkpoints / "step-00000030")
    (checkpoints / ".step-00000030.1-a.tmp").mkdir()
    with (tmp_path / "killed" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 31, "train/lo')
    resume(tmp_path / "killed")
    assert_same(tmp_path / "whole", tmp_path / "killed")
    assert not list(checkpoints.glob(".*"))


def test_killed_around_the_last_validation_it_is_there_once(dataset, tmp_path):
    """The last step is saved, then validated, then saved again: each moment between leads to the same end."""
    profile = small_profile(max_steps=30)
    fit(profile, dataset, tmp_path / "whole", threads=THREADS)
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    newest = tmp_path / "killed" / "checkpoints" / "step-00000030"
    state = json.loads((newest / "state.json").read_text())
    earlier = json.loads((newest.with_name("step-00000020") / "state.json").read_text())["training"]
    best = ("best_step", "best_nats_per_note", "evaluations_since_best", "ranking", "bests", "has_improved")
    validation = ("validated_step", "newest", *best)
    state["training"] |= {name: earlier[name] for name in validation}
    state["training"]["records"] -= 1
    write_json(newest / "state.json", state)
    write_manifest(newest)
    assert resume(tmp_path / "killed").step == 30
    assert told(tmp_path / "killed") == told(tmp_path / "whole")
    assert resume(tmp_path / "killed").step == 30
    assert_same(tmp_path / "whole", tmp_path / "killed")


def test_killed_before_the_first_checkpoint_it_starts_again(dataset, tmp_path):
    profile = small_profile(max_steps=12, checkpoint_every=100, eval_every=100)
    fit(profile, dataset, tmp_path / "whole", threads=THREADS)
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed" / "checkpoints")
    resume(tmp_path / "killed")
    assert_same(tmp_path / "whole", tmp_path / "killed")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_newest_checkpoint_is_told_of_and_the_one_before_is_used(dataset, tmp_path, caplog):
    profile = small_profile(max_steps=30)
    fit(profile, dataset, tmp_path / "whole", threads=THREADS)
    shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
    checkpoints = tmp_path / "damaged" / "checkpoints"
    flip(checkpoints / "step-00000030" / "optimizer.safetensors")
    result = resume(tmp_path / "damaged")
    assert list(result.damaged) == ["step-00000030"]
    assert "optimizer.safetensors" in result.damaged["step-00000030"]
    assert "step-00000030 is damaged" in caplog.text
    assert (checkpoints / "damaged-step-00000030").is_dir()
    assert_same(tmp_path / "whole", tmp_path / "damaged")


def test_nothing_is_resumed_from_damage_alone(dataset, tmp_path):
    fit(small_profile(max_steps=10), dataset, tmp_path / "run", threads=THREADS)
    for folder in (tmp_path / "run" / "checkpoints").glob("step-*"):
        flip(folder / "model.safetensors")
    with pytest.raises(DamagedError) as caught:
        resume(tmp_path / "run")
    assert caught.value.exit_code == 12


def test_a_bound_can_be_moved(dataset, tmp_path):
    fit(small_profile(max_steps=10), dataset, tmp_path / "run", threads=THREADS)
    assert resume(tmp_path / "run").step == 10
    assert resume(tmp_path / "run", changes={"max_steps": 15}).step == 15
    assert [record["step"] for record in told(tmp_path / "run") if "lr" in record] == list(range(1, 16))
    assert "max_steps = 15" in (tmp_path / "run" / "profile.toml").read_text()


@pytest.mark.parametrize(("key", "value"), [("max_steps", 0), ("lr", "fast"), ("nonsense", 1), ("seed", 2)])
def test_impossible_changes_are_refused(dataset, tmp_path, key, value):
    fit(small_profile(max_steps=1), dataset, tmp_path / "run", threads=THREADS)
    before = (tmp_path / "run" / "profile.toml").read_text()
    with pytest.raises(UsageError, match=key):
        resume(tmp_path / "run", changes={key: value})
    assert (tmp_path / "run" / "profile.toml").read_text() == before


def test_a_run_that_is_being_trained_is_left_alone(dataset, tmp_path):
    fit(small_profile(max_steps=1), dataset, tmp_path / "run", threads=THREADS)
    before = facts(tmp_path / "run")
    with lock(tmp_path / "run" / ".lock"), pytest.raises(LockedError):
        resume(tmp_path / "run")
    assert facts(tmp_path / "run") == before


def test_another_data_set_is_refused(dataset, tmp_path):
    fit(small_profile(max_steps=1), dataset, tmp_path / "run", threads=THREADS)
    run = tmp_path / "run" / "run.json"
    run.write_text(run.read_text().replace('"parts": true', '"parts": false'))
    with pytest.raises(UsageError, match="not spelt"):
        resume(tmp_path / "run")

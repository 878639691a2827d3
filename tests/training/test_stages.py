"""Several stages in one run."""

import signal

import numpy as np
import pytest
from tests.support.training import SMALL, SMALL_DISCRIMINATOR, SMALL_LATENTS, facts, small_profile, tensors, told

from aurl.errors import UsageError
from aurl.generation.load import load_run
from aurl.profile import Profile, load_profile
from aurl.profile.load import at_stage
from aurl.progress import Interrupts
from aurl.training.log import read_metrics
from aurl.training.ranking import Criterion, Ranked
from aurl.training.stages import (
    IN_TIME,
    RUN_IS_LATE,
    STAGE_IS_LATE,
    begin_next,
    has_next,
    lateness,
    profile_now,
    remembered,
    same_optimizer,
)
from aurl.training.state import TrainingState
from aurl.training.trainer import fit, resume

GAN = {"model.mode": "vae_gan", **SMALL_LATENTS, **SMALL_DISCRIMINATOR}
PRETRAIN = {"name": "pretrain", "set": {"data.curriculum": {"kind": "length", "epochs": 1.0}, "training.lr": 3e-3}}
FINETUNE = {"name": "finetune", "set": {"training.lr": 1e-3, "data.seq_len": 32}}
POLISH = {"name": "polish", "set": {"training.lr": 3e-4, "data.seq_len": 32, "model.dropout": 0.0}}


def staged(stages, *tables, **training) -> Profile:
    """Keywords are keys of `training`, or dotted keys with `__`."""
    given = {key.replace("__", ".") if "__" in key else f"training.{key}": value for key, value in training.items()}
    return load_profile(
        flags={**SMALL, **{k: v for table in tables for k, v in table.items()}, **given, "stages": stages}
    )


def course(*shares, **training) -> Profile:
    """pretrain, finetune, polish, with a share of the training each; or as many of them as there are shares."""
    stages = [{**stage, "share": share} for stage, share in zip((PRETRAIN, FINETUNE, POLISH), shares, strict=False)]
    return staged(stages, **training)


def course_of_steps(*steps, **training) -> Profile:
    stages = [{**stage, "steps": number} for stage, number in zip((PRETRAIN, FINETUNE, POLISH), steps, strict=False)]
    return staged(stages, **training)


def stopping_at(step):
    interrupts = Interrupts()

    def report(progress):
        interrupts.stop = signal.SIGTERM if progress.done == step else interrupts.stop

    return {"interrupts": interrupts, "report": report}


def lines(run):
    return [record for record in told(run) if "lr" in record]


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """A run of three stages, 20 + 12 + 8 steps, with all that was reported."""
    folder, notes = tmp_path_factory.mktemp("stages") / "whole", []
    profile = course(0.5, 0.3, 0.2, max_steps=40)
    result = fit(profile, dataset, folder, threads=1, report=notes.append)
    return folder, result, notes


def test_each_stage_is_a_training_of_its_own(whole):
    folder, result, notes = whole
    assert (result.step, result.reason, result.status) == (40, "max_steps", "finished")
    records = lines(folder)
    assert [record["stage"] for record in records] == [0] * 20 + [1] * 12 + [2] * 8
    rates = [record["lr"] for record in records]
    # each warms up over min(10, 20 %) of its steps, and comes down again to a tenth
    assert rates[:4] == pytest.approx([3e-3 * n / 4 for n in (1, 2, 3, 4)])
    assert rates[20:22] == pytest.approx([1e-3 / 2, 1e-3])
    assert rates[32:33] == pytest.approx([3e-4])
    assert [rates[19] < 3.4e-4, rates[31] < 1.4e-4, rates[39] < 5e-5] == [True] * 3
    begun = [record for record in records if record["batch"] == 1]
    assert [record["step"] for record in begun if record["step"] in (1, 21, 33)] == [1, 21, 33]
    assert [note.done for note in notes] == list(range(1, 41))
    assert [note.total for note in notes] == [20] * 20 + [32] * 12 + [40] * 8
    assert [note.note.split(" · ")[0] for note in notes] == ["pretrain"] * 20 + ["finetune"] * 12 + ["polish"] * 8
    log = (folder / "train.log").read_text()
    assert "stage pretrain ends at step 20: max_steps" in log
    assert "stage polish ends" not in log


def test_each_stage_is_validated_at_its_end_and_has_a_best_of_its_own(whole):
    folder, result, _ = whole
    found = [record for record in told(folder) if "valid/nats_per_note" in record]
    assert [record["step"] for record in found] == [20, 32, 40]
    assert [record["evaluations_since_best"] for record in found] == [0, 0, 0]
    assert (result.best_step, load_run(folder).step) == (40, 40)
    assert result.best_nats_per_note == found[-1]["valid/nats_per_note"]


@pytest.mark.parametrize("stops", [(5, 20, 21), (19, 26, 32, 39)], ids=str)
def test_stopping_anywhere_changes_nothing(dataset, tmp_path, whole, stops):
    """In the middle of stages, and at their ends."""
    result = fit(course(0.5, 0.3, 0.2, max_steps=40), dataset, tmp_path / "run", threads=1, **stopping_at(stops[0]))
    for stop in stops[1:]:
        assert result.interrupted
        result = resume(tmp_path / "run", **stopping_at(stop))
    assert resume(tmp_path / "run").step == 40
    assert told(tmp_path / "run") == told(whole[0])
    assert tensors(tmp_path / "run") == tensors(whole[0])


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"loss__kl_schedule": {"kind": "linear"}}, marks=pytest.mark.slow),
        pytest.param({"loss__kl_schedule": {"kind": "adaptive"}, "accumulation": 2}, marks=pytest.mark.slow),
    ],
    ids=["linear", "adaptive"],
)
def test_with_latents_and_a_discriminator(dataset, tmp_path, options):
    """Beta rises and the discriminator joins in each stage anew; in the last one bags are not asked."""
    stages = [
        {"name": "first", "share": 0.5},
        {
            "name": "last",
            "share": 0.5,
            "set": {"loss.bag": 0.0, "discriminator.start": 0.6, "latent.word_dropout": 0.1},
        },
    ]
    profile = staged(stages, GAN, max_steps=20, **options)
    fit(profile, dataset, tmp_path / "whole", threads=1)
    for step in (7, 13):
        run = tmp_path / f"parts-{step}"
        assert fit(profile, dataset, run, threads=1, **stopping_at(step)).interrupted
        assert resume(run).step == 20
        assert told(run) == told(tmp_path / "whole")
        assert tensors(run) == tensors(tmp_path / "whole")
    records = lines(tmp_path / "whole")
    if "accumulation" not in options:
        assert records[9]["beta"] > 10 * records[10]["beta"]
    assert [record["discriminator_stage"] > 0 for record in records] == [False] * 2 + [True] * 8 + [False] * 6 + [
        True
    ] * 4
    assert ["train/bag_global" in record for record in records] == [True] * 10 + [False] * 10


def test_patience_ends_a_stage_and_not_the_run(dataset, tmp_path):
    """At a rate of nothing nothing gets better: each of two stages waits for two evaluations after its first."""
    profile = course(0.5, 0.5, max_steps=100, eval_every=2, patience=2)
    stages = tuple(stage.model_copy(update={"set": {"training.lr": 1e-30}}) for stage in profile.stages)
    result = fit(profile.model_copy(update={"stages": stages}), dataset, tmp_path / "run", threads=1)
    assert (result.step, result.reason) == (12, "patience")
    assert [record["stage"] for record in lines(tmp_path / "run")] == [0] * 6 + [1] * 6
    assert "stage pretrain ends at step 6: patience" in (tmp_path / "run" / "train.log").read_text()
    waited = [record["evaluations_since_best"] for record in told(tmp_path / "run") if "valid/tokens" in record]
    assert waited == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("options", "changes", "said"),
    [
        ({}, {"data.seq_len": 4}, "windows of 4 tokens"),
        (
            {"sharding": "full"},
            {"training.optimizer": {"kind": "muon"}},
            r'does not go with training\.optimizer = "muon"',
        ),
    ],
)
def test_what_cannot_be_trained_in_a_later_stage_is_refused_at_once(dataset, tmp_path, options, changes, said):
    stages = [{"name": "one", "share": 0.5}, {"name": "two", "share": 0.5, "set": changes}]
    profile = staged(stages, max_steps=4, optimizer={"kind": "adamw"}, **options)
    with pytest.raises(UsageError, match=said):
        fit(profile, dataset, tmp_path / "run", threads=1)
    assert not (tmp_path / "run").exists()


def test_stages_of_so_many_steps(dataset, tmp_path):
    result = fit(course_of_steps(4, 6), dataset, tmp_path / "run", threads=1)
    assert (result.step, [record["stage"] for record in lines(tmp_path / "run")]) == (10, [0] * 4 + [1] * 6)
    result = fit(course_of_steps(4, 6, max_steps=7), dataset, tmp_path / "cut", threads=1)
    assert (result.step, result.reason) == (7, "max_steps")
    assert resume(tmp_path / "cut", changes={"max_steps": 9}).step == 9
    assert [record["stage"] for record in lines(tmp_path / "cut")] == [0] * 4 + [1] * 5


def test_a_run_that_ends_within_a_stage_goes_on_with_it(dataset, tmp_path):
    result = fit(course_of_steps(6, 4, max_steps=3), dataset, tmp_path / "run", threads=1)
    assert (result.step, result.reason) == (3, "max_steps")
    assert resume(tmp_path / "run", changes={"max_steps": 10}).step == 10
    assert [record["stage"] for record in lines(tmp_path / "run")] == [0] * 6 + [1] * 4


def test_minutes_are_shared_out_too(dataset, tmp_path):
    result = fit(course(0.5, 0.5, max_minutes=0.04), dataset, tmp_path / "run", threads=1)
    assert result.reason == "max_minutes"
    assert result.seconds >= 2.4
    records = lines(tmp_path / "run")
    ends = [max(r["step"] for r in records if r["stage"] == stage) for stage in (0, 1)]
    assert 0 < ends[0] < ends[1] == result.step
    seconds = {r["step"]: r["seconds"] for r in _timed(tmp_path / "run")}
    assert seconds[ends[0]] >= 1.1


def _timed(run):
    return [record for record in read_metrics(run / "metrics.jsonl") if "lr" in record]


def test_a_stage_may_have_another_optimizer(dataset, tmp_path):
    stages = [
        {"name": "one", "steps": 4},
        {"name": "two", "steps": 4, "set": {"training.optimizer": {"kind": "adamw"}}},
        {"name": "three", "steps": 4, "set": {"training.optimizer": {"kind": "adamw"}, "training.weight_decay": 0.0}},
    ]
    profile = staged(stages, checkpoint_every=100, keep_last=5)
    fit(profile, dataset, tmp_path / "whole", threads=1)
    fit(profile, dataset, tmp_path / "parts", threads=1, **stopping_at(6))
    resume(tmp_path / "parts")
    assert tensors(tmp_path / "parts") == tensors(tmp_path / "whole")
    newest = tensors(tmp_path / "whole")
    assert {name.partition(":")[0] for name in newest if name.startswith("optimizer/")} == {
        "optimizer/exp_avg",
        "optimizer/exp_avg_sq",
        "optimizer/step",
    }
    # AdamW has counted both of its stages and not Muon's
    assert {value for name, value in newest.items() if name.startswith("optimizer/step")} == {np.float32(8).tobytes()}


@pytest.mark.slow
def test_two_processes_stop_and_go_on_in_stages(dataset, tmp_path):
    """Ended within each stage; at a rate that does not depend on how long a stage is meant to be."""
    stages = [{"name": "one", "steps": 8}, {"name": "two", "steps": 8, "set": {"data.seq_len": 32}}]
    constant = {"schedule": {"kind": "constant"}, "warmup_steps": 0, "data__batch_size": 2}
    fit(staged(stages, **constant), dataset, tmp_path / "whole", threads=1, processes=2)
    assert [record["stage"] for record in lines(tmp_path / "whole")] == [0] * 8 + [1] * 8
    fit(staged(stages, max_steps=5, **constant), dataset, tmp_path / "parts", threads=1, processes=2)
    for steps in (12, 16):
        result = resume(tmp_path / "parts", changes={"max_steps": steps})
        assert (result.step, facts(tmp_path / "parts")["processes"]) == (steps, 2)
    assert lines(tmp_path / "parts") == lines(tmp_path / "whole")
    assert tensors(tmp_path / "parts") == tensors(tmp_path / "whole")


def test_the_last_stage_takes_what_a_longer_run_has_left(dataset, tmp_path):
    fit(course(0.5, 0.5, max_steps=6), dataset, tmp_path / "run", threads=1)
    assert resume(tmp_path / "run", changes={"max_steps": 10}).step == 10
    assert [record["stage"] for record in lines(tmp_path / "run")] == [0] * 3 + [1] * 7


# What stages come to, without training


def profile_in(profile, **state):
    return profile_now(profile, TrainingState(**state)).training


def test_shares_are_of_steps_minutes_or_the_horizon():
    thirds = course(0.34, 0.33, 0.33, max_steps=100)
    begun = {0: 0, 1: 34, 2: 60}  # patience has ended the second
    assert [profile_in(thirds, stage=n, stage_step=step).max_steps for n, step in begun.items()] == [34, 33, 40]
    minutes = profile_in(course(0.5, 0.3, 0.2, max_minutes=10.0), stage=1, stage_seconds=300.0)
    assert (minutes.max_steps, minutes.max_minutes, minutes.horizon_steps) == (None, pytest.approx(3.0), 6000)
    open_ended = [profile_in(course(0.5, 0.5), stage=n, stage_step=n * 10_000) for n in range(2)]
    assert [training.max_steps for training in open_ended] == [10_000, 10_000]


def test_no_stage_goes_beyond_the_run():
    assert profile_in(course(0.5, 0.5, max_minutes=10.0), stage=1, stage_seconds=540.0).max_minutes == pytest.approx(
        1.0
    )
    assert profile_in(course_of_steps(5, 10, max_steps=8), stage=1, stage_step=5).max_steps == 3
    assert profile_in(course_of_steps(5, 10, max_minutes=8.0), stage=1, stage_seconds=60.0).max_minutes == 7.0


def test_what_a_stage_sets_is_laid_over_the_run():
    whole = course(0.5, 0.3, 0.2, max_steps=10)
    assert [at_stage(whole, n).training.lr for n in range(3)] == [3e-3, 1e-3, 3e-4]
    assert [at_stage(whole, n).data.seq_len for n in range(3)] == [SMALL["data.seq_len"], 32, 32]
    assert [at_stage(whole, n).data.curriculum is None for n in range(3)] == [False, True, True]
    assert at_stage(whole, 2).model.dropout == 0.0
    plain = small_profile()
    assert profile_now(plain, TrainingState()) is plain


def test_the_last_stage_has_no_next():
    whole = course_of_steps(5, 10, max_steps=8)
    assert has_next(whole, TrainingState(step=5))
    assert not has_next(whole, TrainingState(step=8))
    assert not has_next(whole, TrainingState(step=6, stage=1))
    assert not has_next(small_profile(max_steps=8), TrainingState(step=8))


def test_lateness():
    whole = course(0.5, 0.5, max_minutes=10.0)
    first, second = (profile_in(whole, stage=n, stage_seconds=n * 300.0) for n in range(2))
    assert lateness(whole, first, TrainingState(), 299.0) == IN_TIME
    assert lateness(whole, first, TrainingState(), 300.0) == STAGE_IS_LATE
    assert lateness(whole, second, TrainingState(stage=1, stage_seconds=300.0), 301.0) == IN_TIME
    assert lateness(whole, second, TrainingState(stage=1, stage_seconds=300.0), 600.0) == RUN_IS_LATE


@pytest.mark.parametrize("mode", ["min", "max"])
def test_what_was_best_stays_until_there_is_something_better(mode):
    state = TrainingState(step=9, epoch=2, batch=3, best_step=6, best_nats_per_note=2.0, ranking=[Ranked(6, 2.0)])
    state.bests, state.evaluations_since_best = {"valid/nats_per_note": 2.0}, 4
    criterion = Criterion("any", mode)
    begin_next(state, criterion, 77.0)
    assert (state.stage, state.stage_step, state.stage_seconds, state.begins_stage) == (1, 9, 77.0, True)
    assert (state.epoch, state.batch, state.stage_epoch, state.stage_steps) == (3, 0, 3, 0)
    assert (state.best_nats_per_note, state.bests, state.evaluations_since_best) == (None, {}, 0)
    assert [one.step for one in state.ranking] == [6]
    assert all(criterion.better(value, state.ranking[0].value) for value in (-1e9, 1e9))
    assert TrainingState.from_json(state.to_json()) == state


def test_what_a_stage_remembers_of_the_one_before():
    stages = [
        {"name": "one", "steps": 1},
        {"name": "two", "steps": 1, "set": {"training.optimizer": {"kind": "adamw"}}},
    ]
    whole = staged(stages)
    one, two = at_stage(whole, 0), at_stage(whole, 1)
    assert (same_optimizer(one, two), same_optimizer(one, one), same_optimizer(None, two)) == (False, True, True)
    assert remembered(["balancing", "kl_schedule", "plateau", "other"], one, two) == {"balancing", "other"}
    assert remembered(["balancing", "kl_schedule"], None, two) == {"balancing", "kl_schedule"}
    assert remembered(["optimizer"], one, two) == set()


def test_a_model_is_loaded_with_the_profile_of_its_stage(whole):
    """What is generated begins with windows as long as those that it has seen."""
    folder, _, _ = whole
    assert load_run(folder, checkpoint="latest").profile.data.seq_len == 32
    assert load_run(folder, checkpoint="latest").profile.model.dropout == 0.0
    assert load_run(folder, checkpoint="step-00000032").profile.training.lr == 1e-3  # the end of the second
    assert load_run(folder, checkpoint="step-00000030").profile.training.lr == 1e-3

"""Runs that begin with what another has learned: fine-tuning and adapters."""

import hashlib
import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file
from tests.support.training import (
    facts,
    latent_profile,
    small_profile,
    tensors,
    told,
    write_dataset,
)

from aurl.errors import DamagedError, NotFoundError, UsageError
from aurl.generation.load import find_checkpoint, load_run
from aurl.home import Home
from aurl.model.lora import is_adapter, merged
from aurl.progress import Interrupts
from aurl.tokens.codec import Codec
from aurl.training.checkpoint import Checkpoints, read_tensors
from aurl.training.soup import average_checkpoints
from aurl.training.start import START_NAME, Source, check_start, find_named, open_source, run_of
from aurl.training.trainer import fit, resume

LORA = {"rank": 2, "alpha": 4.0}
ALMOST_NOTHING = 1e-30
"""A rate at which weights stay as they are."""


@pytest.fixture(scope="module")
def parent(dataset, tmp_path_factory):
    """A run of 20 steps; nobody writes to it."""
    folder = tmp_path_factory.mktemp("parent") / "first"
    fit(small_profile(max_steps=20, eval_every=10), dataset, folder, threads=1)
    return folder


def stopping_at(step):
    interrupts = Interrupts()

    def report(progress):
        interrupts.stop = signal.SIGTERM if progress.done == step else interrupts.stop

    return {"interrupts": interrupts, "report": report}


def fine_tune(dataset, run, start_from, **training):
    return fit(small_profile(**training), dataset, run, start_from=start_from, threads=1)


def saved(run, name="latest"):
    return find_checkpoint(run, name)


def test_it_begins_with_the_best_weights_and_remembers_where_they_are_from(dataset, tmp_path, parent):
    fine_tune(dataset, tmp_path / "child", parent, max_steps=1, lr=ALMOST_NOTHING, weight_decay=0.0)
    begun_with = saved(parent, "best") / "ema.safetensors"
    weights, expected = read_tensors(saved(tmp_path / "child"), "model"), load_file(begun_with)
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())
    assert facts(tmp_path / "child")["parent"] == {
        "name": "first",
        "run": str(parent),
        "checkpoint": saved(parent, "best").name,
        "weights": "ema.safetensors",
        "sha256": hashlib.sha256(begun_with.read_bytes()).hexdigest(),
    }
    assert "parent" not in facts(parent)


def test_it_has_learned_already(dataset, tmp_path, parent):
    fine_tune(dataset, tmp_path / "child", parent, max_steps=2, model__dropout=0.0)
    before, after = told(parent), told(tmp_path / "child")
    assert after[0]["train/nats_per_token"] < before[0]["train/nats_per_token"] - 0.3


def test_a_checkpoint_can_be_named(dataset, tmp_path, parent):
    named = saved(parent, "step-00000010")
    fine_tune(dataset, tmp_path / "child", named, max_steps=1)
    assert facts(tmp_path / "child")["parent"]["checkpoint"] == "step-00000010"
    assert run_of(named) == run_of(parent) == parent


def test_the_parent_may_go_once_the_run_is_there(dataset, tmp_path, parent):
    """Stopped before the first checkpoint was there, a run starts again from the weights that it keeps."""
    shutil.copytree(parent, tmp_path / "first")
    fine_tune(dataset, tmp_path / "whole", tmp_path / "first", max_steps=6)
    fine_tune(dataset, tmp_path / "child", tmp_path / "first", max_steps=6)
    shutil.rmtree(tmp_path / "first")
    shutil.rmtree(tmp_path / "child" / "checkpoints")
    assert resume(tmp_path / "child").step == 6
    assert told(tmp_path / "child") == told(tmp_path / "whole")
    assert tensors(tmp_path / "child") == tensors(tmp_path / "whole")
    shutil.rmtree(tmp_path / "child" / "checkpoints")
    (tmp_path / "child" / START_NAME).unlink()
    with pytest.raises(DamagedError, match=START_NAME):
        resume(tmp_path / "child")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model__d_model": 32}, "model.d_model is 32, and 16 in first"),
        ({"model__pattern": ["sliding_window"]}, "model.pattern"),
        ({"model__n_layers": 1, "model__dropout": 0.0}, "model.n_layers is 1, and 2 in first"),
    ],
)
def test_another_model_is_refused_by_the_key_that_differs(dataset, tmp_path, parent, options, said):
    with pytest.raises(UsageError, match=said):
        fine_tune(dataset, tmp_path / "child", parent, max_steps=1, **options)
    assert not (tmp_path / "child").exists()


def test_other_ids_are_refused(tmp_path, parent):
    other = write_dataset(tmp_path / "other", pieces=6, valid=1, header=("tempo",))
    with pytest.raises(UsageError, match="first spells music in other ids: header"):
        fine_tune(other, tmp_path / "child", parent, max_steps=1)


def test_what_is_no_run_is_refused(dataset, tmp_path):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(NotFoundError, match="is no run"):
        fine_tune(dataset, tmp_path / "child", tmp_path / "nothing", max_steps=1)


def test_damaged_weights_are_refused(dataset, tmp_path, parent):
    shutil.copytree(parent, tmp_path / "first")
    weights = saved(tmp_path / "first", "best") / "ema.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(DamagedError, match="differs from its checksum"):
        fine_tune(dataset, tmp_path / "child", tmp_path / "first", max_steps=1)


def test_a_model_with_latents_begins_with_the_decoder_of_one_without(dataset, tmp_path, parent):
    profile = latent_profile("vae", max_steps=1, lr=ALMOST_NOTHING, weight_decay=0.0)
    fit(profile, dataset, tmp_path / "child", start_from=parent, threads=1)
    weights = read_tensors(saved(tmp_path / "child"), "model")
    expected = load_file(saved(parent, "best") / "ema.safetensors")
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())
    assert {name.split(".")[0] for name in weights.keys() - expected.keys()} == {
        *("decoder", "encoder", "latent_stream", "prior", "bags", "echo")
    }
    log = (tmp_path / "child" / "train.log").read_text()
    assert "begun as new, for the weights to start from have none: bags, decoder.hearing, echo, encoder" in log


def test_latents_are_not_given_up(dataset, tmp_path):
    first = tmp_path / "first"
    fit(latent_profile("vae", max_steps=1), dataset, first, threads=1)
    with pytest.raises(UsageError, match=r"model\.mode is 'transformer', and 'vae' in first"):
        fine_tune(dataset, tmp_path / "child", first, max_steps=1)
    larger = latent_profile("vae", max_steps=1, latent__global_size=32)
    with pytest.raises(UsageError, match=r"latent\.global_size is 32, and 16 in first"):
        fit(larger, dataset, tmp_path / "child", start_from=first, threads=1)
    looser = latent_profile("vae", max_steps=1, latent__word_dropout=0.5, model__dropout=0.0)
    assert fit(looser, dataset, tmp_path / "child", start_from=first, threads=1).step == 1


def test_names_and_checkpoints_of_runs(tmp_path, parent):
    home = Home(tmp_path / "home")
    shutil.copytree(parent, home.runs / "first")
    assert find_named("first", home) == home.runs / "first"
    assert find_named("first@step-00000010", home).name == "step-00000010"
    assert find_named("first@best", home) == saved(home.runs / "first", "best")
    assert find_named(str(parent), home) == parent
    with pytest.raises(NotFoundError, match="step-3"):
        find_named("first@step-3", home)
    assert open_source(home.runs / "first").weights.name == "ema.safetensors"


def test_other_styles_are_refused(tmp_path):
    profile, codec = latent_profile("vae", latent__style="composer"), Codec().signature()
    source = Source(tmp_path / "first", tmp_path, tmp_path, profile, codec, ("Bach", "Satie"))
    check_start(source, profile, codec, ["Bach", "Satie"])
    with pytest.raises(UsageError, match="the styles of this data set are not those of first"):
        check_start(source, profile, codec, ["Bach"])


# Adapters


def adapted(dataset, run, parent, *, lora=LORA, **options):
    profile = small_profile(lora=lora, **options)
    return fit(profile, dataset, run, start_from=parent, threads=1)


def test_adapters_alone_learn_and_are_counted(dataset, tmp_path, parent):
    result = adapted(dataset, tmp_path / "child", parent, max_steps=5)
    weights = read_tensors(saved(tmp_path / "child"), "model")
    expected = load_file(saved(parent, "best") / "ema.safetensors")
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())
    learned = {name: tensor for name, tensor in weights.items() if name.endswith("lora_up")}
    assert len(learned) == 2 * 4
    assert all(tensor.any() for tensor in learned.values())
    assert {name for name in weights if name not in expected} == {name for name in weights if is_adapter(name)}
    # rank × (in + out) of qkv 16 → 48, out 16 → 16, up 16 → 64, down 64 → 16, in two layers
    by_hand = 2 * 2 * (16 + 48 + 16 + 16 + 16 + 64 + 64 + 16)
    assert result.parameters == facts(tmp_path / "child")["parameters"] == by_hand
    state = read_tensors(saved(tmp_path / "child"), "optimizer")
    assert {name.rpartition(".")[2] for name in state} == {"lora_up", "lora_down"}


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": {"kind": "adamw"}},
        pytest.param({"ema_decay": 0.0, "accumulation": 2}, marks=pytest.mark.slow),
        pytest.param({"model__checkpointing": True}, marks=pytest.mark.slow),
    ],
    ids=["adamw", "plain", "checkpointing"],
)
def test_stopping_changes_nothing_with_adapters(dataset, tmp_path, parent, options):
    adapted(dataset, tmp_path / "whole", parent, max_steps=12, **options)
    profile = small_profile(lora=LORA, max_steps=12, **options)
    assert fit(profile, dataset, tmp_path / "parts", start_from=parent, threads=1, **stopping_at(5)).interrupted
    assert resume(tmp_path / "parts").step == 12
    assert told(tmp_path / "parts") == told(tmp_path / "whole")
    assert tensors(tmp_path / "parts") == tensors(tmp_path / "whole")


def test_merged_weights_are_what_is_loaded(dataset, tmp_path, parent):
    adapted(dataset, tmp_path / "child", parent, max_steps=10, lr=0.03)
    loaded = load_run(tmp_path / "child", packed=False).model
    state = read_tensors(saved(tmp_path / "child", "best"), "ema")
    expected = merged(state)
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.state_dict().items())
    before = load_file(saved(parent, "best") / "ema.safetensors")
    assert not any(torch.equal(before[name], expected[name]) for name in before if "qkv" in name)


def test_samples_are_written_with_adapters(dataset, tmp_path, parent):
    result = adapted(dataset, tmp_path / "child", parent, max_steps=2, sample_every=2)
    assert [path.name for path in result.samples] == ["step-00000002.mid"]


def test_a_run_of_adapters_can_be_a_parent(dataset, tmp_path, parent):
    adapted(dataset, tmp_path / "child", parent, max_steps=3)
    fine_tune(dataset, tmp_path / "grandchild", tmp_path / "child", max_steps=1, lr=ALMOST_NOTHING, weight_decay=0.0)
    weights = read_tensors(saved(tmp_path / "grandchild"), "model")
    expected = merged(read_tensors(saved(tmp_path / "child", "best"), "ema"))
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())


def test_a_mean_of_adapters_is_one_of_the_weights_that_they_make(dataset, tmp_path, parent):
    adapted(dataset, tmp_path / "child", parent, max_steps=20, lr=0.03)
    run = tmp_path / "child"
    mean = average_checkpoints(Checkpoints(run / "checkpoints", keep_last=3), last=2)
    found = read_tensors(mean, "model")
    parts = [merged(read_tensors(run / "checkpoints" / f"step-000000{step}", "model")) for step in (10, 20)]
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, (parts[0][name] + parts[1][name]) / 2, atol=1e-7, rtol=1e-6)
    assert found.keys() == parts[0].keys()


def test_adapters_need_something_to_adapt(dataset, tmp_path, parent):
    with pytest.raises(UsageError, match=r"training\.lora adapts the weights of another run"):
        adapted(dataset, tmp_path / "child", None, max_steps=1)
    profile = latent_profile("vae", max_steps=1, lora=LORA)
    with pytest.raises(UsageError, match="adapters cannot learn what latents are"):
        fit(profile, dataset, tmp_path / "child", start_from=parent, threads=1)
    assert not (tmp_path / "child").exists()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["vae", "vae_gan"])
def test_adapters_of_models_with_latents(dataset, tmp_path, mode):
    fit(latent_profile(mode, max_steps=2), dataset, tmp_path / "first", threads=1)
    profile = latent_profile(mode, max_steps=8, lora=LORA)
    fit(profile, dataset, tmp_path / "whole", start_from=tmp_path / "first", threads=1)
    assert (
        fit(profile, dataset, tmp_path / "parts", start_from=tmp_path / "first", threads=1, **stopping_at(5)).step == 5
    )
    resume(tmp_path / "parts")
    assert tensors(tmp_path / "parts") == tensors(tmp_path / "whole")
    weights = read_tensors(saved(tmp_path / "whole"), "model")
    expected = load_file(saved(tmp_path / "first", "best") / "ema.safetensors")
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items() if "running" not in name)


@pytest.mark.slow
def test_two_processes_learn_the_same_adapters(dataset, tmp_path, parent):
    common = {"lora": LORA, "max_steps": 6, "model__dropout": 0.0}
    one = small_profile(**common, data__batch_size=4)
    two = small_profile(**common, data__batch_size=2)
    fit(one, dataset, tmp_path / "one", start_from=parent, threads=1)
    fit(two, dataset, tmp_path / "two", start_from=parent, threads=1, processes=2)
    for expected, found in zip(told(tmp_path / "one"), told(tmp_path / "two"), strict=True):
        for name in ("train/nats_per_token", "gradient_norm"):
            if name in expected:
                assert found[name] == pytest.approx(expected[name], rel=2e-4)

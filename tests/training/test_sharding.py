"""Divided weights are a matter of memory: what is learned, and what is saved, is the same."""

from copy import deepcopy

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file
from tests.support.training import latent_profile, small_profile, tensors, told
from torch import distributed
from torch.distributed.tensor import DTensor

from aurl.errors import UsageError
from aurl.generation.load import load_run
from aurl.model.build import build_model
from aurl.tokens.codec import Codec
from aurl.training.averaging import equal_weights
from aurl.training.sharding import (
    Sharded,
    averaged_weights,
    check_sharding,
    divided_as,
    followed,
    gathered,
    load_average,
    part_of,
    whole,
)
from aurl.training.trainer import fit, resume

ADAMW = {"kind": "adamw"}
SMOOTH = {"model__dropout": 0.0, "data__batch_size": 2, "training__optimizer": ADAMW}
"""Nothing is drawn that processes would have to share."""
LATENT = {"latent__word_dropout": 0.0, "latent__level_dropout": 0.0, "latent__initial_log_variance": -12.0}


def profile_of(mode: str, **training):
    given = SMOOTH | training
    return small_profile(**given) if mode == "transformer" else latent_profile(mode, **LATENT | given)


@pytest.mark.parametrize(
    ("mode", "options", "words"),
    [
        ("vae_gan", {}, "the discriminator listens"),
        ("transformer", {"training__optimizer": {"kind": "muon"}}, "whole matrices"),
        ("vae", {"latent__batch_norm": True}, "batch_norm"),
    ],
)
def test_what_cannot_be_divided_is_refused_before_there_is_a_run(dataset, tmp_path, mode, options, words):
    profile = profile_of(mode, sharding="full", **options)
    with pytest.raises(UsageError, match=words) as caught:
        fit(profile, dataset, tmp_path / "run", processes=2, threads=1)
    assert "sharding" in caught.value.hint
    assert not (tmp_path / "run").exists()


def test_nor_can_a_loss_scale():
    """Told by the check itself: without a GPU fp16 is refused before."""
    with pytest.raises(UsageError, match="bf16") as caught:
        check_sharding(profile_of("vae", sharding="full", precision="fp16"))
    assert "sharding" in caught.value.hint


@pytest.mark.parametrize("mode", ["transformer", "vae"])
def test_everything_else_is_allowed(mode):
    check_sharding(profile_of(mode, sharding="full"))
    check_sharding(latent_profile("vae_gan"))


def test_one_process_has_nobody_to_divide_with(dataset, tmp_path):
    for sharding in ("none", "full"):
        fit(profile_of("transformer", max_steps=3, sharding=sharding), dataset, tmp_path / sharding, threads=1)
    assert tensors(tmp_path / "full") == tensors(tmp_path / "none")


@pytest.fixture
def divided(tmp_path):
    """(model with divided weights, the same with whole ones) in a world of one process."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.manual_seed(3)
    plain = build_model(profile_of("transformer"), Codec()).eval()
    reference = deepcopy(plain)
    yield Sharded(plain, Accelerator(cpu=True)), reference
    distributed.destroy_process_group()
    AcceleratorState._reset_state(reset_partial_state=True)


def test_divided_weights_make_the_same_of_ids_and_of_gradients(divided):
    model, reference = divided
    ids = torch.arange(20).reshape(2, 10) + 30
    for _ in range(2):
        with model.no_sync():
            model(ids).square().mean().backward()
    assert all(parameter.grad is None for parameter in model.module.parameters())
    model(ids).square().mean().backward()
    for _ in range(3):
        reference(ids).square().mean().backward()
    found = gathered({name: one.grad for name, one in model.module.named_parameters()})
    assert len(found) > 5
    for name, one in reference.named_parameters():
        torch.testing.assert_close(found[name], one.grad)
    torch.testing.assert_close(model(ids), reference(ids))


def test_what_is_gathered_can_be_divided_again(divided):
    model, reference = divided
    state = gathered(model.module.state_dict())
    assert state.keys() == reference.state_dict().keys()
    assert all(torch.equal(state[name], one) for name, one in reference.state_dict().items())
    assert gathered(model.module.state_dict(), keep=False) == {}
    for name, parameter in model.module.named_parameters():
        assert isinstance(parameter, DTensor)
        again = divided_as(state[name] + 1, parameter)
        assert (again.placements, again.shape) == (parameter.placements, parameter.shape)
        assert torch.equal(whole(again), state[name] + 1)
    scalar = torch.tensor(3.0)
    assert divided_as(scalar, next(model.module.parameters())) is scalar


def test_averages_follow_parts_and_come_back(divided, tmp_path):
    model, reference = divided
    plain = model.module
    average = equal_weights(followed(model, plain))
    for step in range(3):
        for parameter in plain.parameters():
            part_of(parameter.detach()).add_(step)
        average.update_parameters(followed(model, plain))
    found = gathered(averaged_weights(average, plain))
    for name, one in reference.named_parameters():
        torch.testing.assert_close(found[name], one.detach() + (0 + 1 + 3) / 3)
    save_file(found, tmp_path / "swa.safetensors")
    other = equal_weights(followed(model, plain))
    load_average(other, plain, tmp_path / "swa.safetensors")
    assert_close({"swa": found}, {"swa": gathered(averaged_weights(other, plain))})
    with model.whole.filled(averaged_weights(average, plain), torch.device("cpu")) as filled:
        assert torch.equal(filled.state_dict()["embedding.ids"], found["embedding.ids"])
        assert not any(isinstance(parameter, DTensor) for parameter in filled.parameters())


def newest(run):
    folder = run / "checkpoints" / (run / "checkpoints" / "latest").read_text().strip()
    return {path.stem: load_file(path) for path in folder.glob("*.safetensors") if path.stem != "random"}


def assert_close(one, other):
    """The same files, names and shapes, and numbers but for rounding."""
    assert one.keys() == other.keys()
    for group, expected in one.items():
        assert expected.keys() == other[group].keys()
        for name, tensor in expected.items():
            torch.testing.assert_close(other[group][name], tensor, rtol=1e-3, atol=1e-5, msg=f"{group}/{name}")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["transformer", "vae"])
def test_losses_and_checkpoints_are_those_of_undivided_weights(dataset, tmp_path, mode):
    """Through accumulation, validation, clipping, both averages and a checkpoint in the middle; lion in one mode."""
    optimizer = {"kind": "lion"} if mode == "vae" else ADAMW
    options = {"max_steps": 10, "accumulation": 2, "eval_every": 5, "checkpoint_every": 5, "lr": 1e-4}
    options |= {
        "sample_every": 10 if mode == "vae" else 0,
        "swa_start": 0.6,
        "training__optimizer": optimizer,
        "clipping": {"kind": "norm", "max_norm": 0.5},
    }
    for sharding in ("none", "full"):
        profile = profile_of(mode, sharding=sharding, **options)
        fit(profile, dataset, tmp_path / sharding, processes=2, threads=1)
    compared = 0
    for expected, found in zip(told(tmp_path / "none"), told(tmp_path / "full"), strict=True):
        for name in (name for name in expected if name.startswith(("train/", "gradient_norm", "valid/"))):
            assert found[name] == pytest.approx(expected[name], rel=1e-5, abs=1e-5), (expected["step"], name)
            compared += 1
    assert compared > 40
    if optimizer == ADAMW:  # lion rounds to signs
        assert_close(newest(tmp_path / "none"), newest(tmp_path / "full"))
    assert {"model", "ema", "swa", "optimizer"} <= newest(tmp_path / "full").keys()
    loaded = load_run(tmp_path / "full", checkpoint="latest").model
    assert torch.isfinite(loaded.embedding.tables().ids).all()


@pytest.mark.slow
def test_a_run_goes_on_with_or_without(dataset, tmp_path):
    """Two processes that divide, then the same without dividing, then one alone; and back again bit by bit."""
    profile = profile_of("vae", max_steps=12, checkpoint_every=3, sharding="full", swa_start=0.2)
    whole = fit(profile, dataset, tmp_path / "whole", processes=2, threads=1)
    short = profile_of("vae", max_steps=6, horizon_steps=12, checkpoint_every=3, sharding="full", swa_start=0.2)
    fit(short, dataset, tmp_path / "parts", processes=2, threads=1)
    resume(tmp_path / "parts", changes={"sharding": "none", "max_steps": 9})
    resume(tmp_path / "parts", changes={"sharding": "full", "max_steps": 12})
    assert resume(tmp_path / "parts", changes={"max_steps": 13}, processes=1).step == 13
    assert whole.step == 12
    lines = [record for record in told(tmp_path / "parts") if "lr" in record]
    assert [record["step"] for record in lines] == list(range(1, 14))
    assert lines[-1]["train/nats_per_token"] < lines[0]["train/nats_per_token"]

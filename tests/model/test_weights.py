import pytest
import torch
from safetensors.torch import load_file, save_file

from aurl.errors import DamagedError
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.model.weights import load_weights, save_weights


def small_model(seed, **options):
    torch.manual_seed(seed)
    return MusicTransformerVAEGAN(779, options.pop("d_model", 32), n_layers=options.pop("n_layers", 2), n_heads=2)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(small_model(0), path)
    return path


def test_weights_come_back(saved):
    model, ids = small_model(1), torch.arange(50)[None]
    assert not torch.equal(model(ids), small_model(0)(ids))
    load_weights(model, saved)
    assert torch.equal(model(ids), small_model(0)(ids))


def test_same_weights_same_bytes(saved, tmp_path):
    save_weights(small_model(0), tmp_path / "again")
    assert saved.read_bytes() == (tmp_path / "again").read_bytes()


@pytest.mark.parametrize(
    ("options", "fault"),
    [({"d_model": 64}, "has shape"), ({"n_layers": 3}, "is missing"), ({"n_layers": 1}, "is unknown")],
)
def test_weights_of_another_model_are_refused_whole(saved, options, fault):
    model = small_model(1, **options)
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(DamagedError, match=fault):
        load_weights(model, saved)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_another_number_type_is_refused(saved):
    save_file({name: tensor.half() for name, tensor in load_file(saved).items()}, saved)
    with pytest.raises(DamagedError, match="float16"):
        load_weights(small_model(1), saved)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"\xff" * 8 + b[8:]])
def test_damaged_files_are_named(saved, damage):
    saved.write_bytes(damage(saved.read_bytes()))
    with pytest.raises(DamagedError, match=r"model\.safetensors"):
        load_weights(small_model(1), saved)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DamagedError, match="nothing"):
        load_weights(small_model(1), tmp_path / "nothing")

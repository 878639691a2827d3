"""Optimizer, clipping, rate and averages in whole runs."""

import json
import signal

import pytest
import torch
from safetensors.torch import load_file
from tests.support.training import latent_profile, small_profile, tensors, told
from torch.amp import GradScaler

from aurl.generation.load import load_run
from aurl.progress import Interrupts
from aurl.tokens.codec import Codec
from aurl.training.acceleration import start_accelerator
from aurl.training.learner import build_learner
from aurl.training.trainer import fit, resume

EVERYTHING = {
    "training__optimizer": {"kind": "lion"},
    "lr": 3e-4,
    "clipping": {"kind": "adaptive", "percentile": 60.0, "history": 8},
    "plateau_factor": 0.5,
    "plateau_patience": 1,
    "swa_start": 0.6,
    "eval_every": 3,
    "log_every": 1,
}


def memory(run) -> dict[str, object]:
    folder = run / "checkpoints" / (run / "checkpoints" / "latest").read_text().strip()
    return json.loads((folder / "state.json").read_text())["memory"]


def rates(run) -> list[float]:
    return [record["lr"] for record in told(run) if "lr" in record]


def assert_same_in_sittings(profile, dataset, tmp_path, stops, **options):
    fit(profile, dataset, tmp_path / "whole", threads=1, **options)
    interrupts = Interrupts()

    def report(progress):
        interrupts.stop = signal.SIGTERM if progress.done in stops else interrupts.stop

    fit(profile, dataset, tmp_path / "parts", threads=1, interrupts=interrupts, report=report, **options)
    for _ in stops[1:]:
        interrupts.stop = None
        assert resume(tmp_path / "parts", interrupts=interrupts, report=report).interrupted
    resume(tmp_path / "parts")
    assert told(tmp_path / "parts") == told(tmp_path / "whole")
    assert tensors(tmp_path / "parts") == tensors(tmp_path / "whole")
    assert memory(tmp_path / "parts") == memory(tmp_path / "whole")


@pytest.mark.parametrize("mode", ["transformer", pytest.param("vae", marks=pytest.mark.slow)])
def test_all_of_it_goes_on_bit_by_bit(dataset, tmp_path, mode):
    """Stops lie before and after the last average has begun, and where the rate has been lowered."""
    given = EVERYTHING | {"max_steps": 20}
    profile = small_profile(**given) if mode == "transformer" else latent_profile(mode, **given)
    assert_same_in_sittings(profile, dataset, tmp_path, [5, 11, 14])
    kept = memory(tmp_path / "whole")
    assert kept["last_average"] == {"begun": True, "updates": 8}
    assert len(kept["clipping"]["norms"]) == 8
    assert kept["clipping"]["seen"] == 20


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["transformer", "vae_gan"])
def test_with_two_processes_too(dataset, tmp_path, mode):
    """Each sitting begins with rehearsals, of which nothing may be left: no noise, no buffer, no balance."""
    given = EVERYTHING | {"max_steps": 20, "data__batch_size": 2}
    balancing = {"loss__balancing": {"kind": "uncertainty"}}
    profile = small_profile(**given) if mode == "transformer" else latent_profile(mode, **given | balancing)
    assert_same_in_sittings(profile, dataset, tmp_path, [9], processes=2)


def test_the_rate_falls_where_validation_does_not_improve(dataset, tmp_path):
    """At a rate of nothing the first validation, after step 2, stays the best."""
    profile = small_profile(
        lr=1e-30,
        warmup_steps=0,
        schedule={"kind": "constant"},
        eval_every=2,
        plateau_factor=0.5,
        plateau_patience=2,
        max_steps=12,
    )
    assert_same_in_sittings(profile, dataset, tmp_path, [5, 8])
    found = [rate / 1e-30 for rate in rates(tmp_path / "whole")]
    assert found == pytest.approx([1.0] * 6 + [0.5] * 4 + [0.25] * 2)


def test_it_multiplies_whatever_schedule_there_is(dataset, tmp_path):
    common = {"lr": 1e-30, "warmup_steps": 3, "eval_every": 2, "max_steps": 10}
    fit(small_profile(**common), dataset, tmp_path / "without", threads=1)
    fit(small_profile(**common, plateau_factor=0.1, plateau_patience=1), dataset, tmp_path / "with", threads=1)
    shares = [1.0] * 4 + [0.1] * 2 + [0.01] * 2 + [0.001] * 2
    expected = [rate * share for rate, share in zip(rates(tmp_path / "without"), shares, strict=True)]
    assert rates(tmp_path / "with") == pytest.approx(expected, rel=1e-9, abs=0.0)


def weights(run, step: int, name: str = "model") -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step-{step:08d}" / f"{name}.safetensors")


def test_the_last_average_is_the_mean_of_what_was_saved(dataset, tmp_path):
    """Of 10 steps, those after the sixth; they are validated and loaded instead of the exponential average."""
    profile = small_profile(
        max_steps=10, swa_start=0.6, swa_lr_ratio=0.25, checkpoint_every=1, eval_every=1, keep_last=20, patience=100
    )
    run = tmp_path / "run"
    fit(profile, dataset, run, threads=1)
    assert not (run / "checkpoints" / "step-00000006" / "swa.safetensors").exists()
    for last in (7, 9, 10):
        found = weights(run, last, "swa")
        seen = [weights(run, step) for step in range(7, last + 1)]
        for name, tensor in found.items():
            mean = torch.stack([one[name].double() for one in seen]).mean(0)
            torch.testing.assert_close(tensor.double(), mean, rtol=0, atol=1e-6)
    assert rates(run)[6:] == [3e-3 * 0.25] * 4
    assert rates(run)[5] != 3e-3 * 0.25
    assert weights(run, 10, "ema").keys() == weights(run, 10, "swa").keys()
    loaded = load_run(run, checkpoint="latest", packed=False)
    assert loaded.is_average
    state = loaded.model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in weights(run, 10, "swa").items())


def test_a_loss_scale_begins_anew_with_its_run():
    """The accelerator outlives a return to the start, and its scale with it."""
    accelerator = start_accelerator(small_profile(), device="cpu")[0]
    accelerator.scaler = GradScaler("cpu", init_scale=4.0)
    assert accelerator.scaler.scale(torch.ones(())) == 4
    build_learner(small_profile(), Codec(), accelerator, None)
    assert accelerator.scaler.scale(torch.ones(())) == GradScaler("cpu").get_scale() == 2.0**16

"""Several processes on one machine."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file, save_file
from tests.support.training import facts, latent_profile, small_profile, tensors, told
from torch import distributed, multiprocessing

from aurl.errors import AurlError, DamagedError
from aurl.progress import Interrupts, silent
from aurl.training.acceleration import start_accelerator
from aurl.training.loop import Loop
from aurl.training.run import Run
from aurl.training.setup import build_session, create_checked
from aurl.training.trainer import fit, resume

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow  # every process imports torch


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children(recursive=True) if "aurl.training.worker" in " ".join(child.cmdline())]


def test_two_processes_are_one_with_twice_the_batch(dataset, tmp_path):
    """Rounding apart: every mean is over all targets, however the windows are divided."""
    common = {"max_steps": 12, "model__dropout": 0.0, "accumulation": 2}
    one = fit(small_profile(**common, data__batch_size=4), dataset, tmp_path / "one", threads=1)
    two = fit(small_profile(**common, data__batch_size=2), dataset, tmp_path / "two", processes=2, threads=1)
    assert (one.step, one.tokens) == (two.step, two.tokens)
    names = ("train/nats_per_token", "train/nats_per_note", "gradient_norm", "lr", "tokens", "epoch", "batch")
    for expected, found in zip(told(tmp_path / "one"), told(tmp_path / "two"), strict=True):
        for name in (name for name in names if name in expected):
            assert found[name] == pytest.approx(expected[name], rel=2e-4), (expected["step"], name)
    assert two.metrics["valid/nats_per_note"] == pytest.approx(one.metrics["valid/nats_per_note"], rel=2e-4)
    assert facts(tmp_path / "two")["processes"] == 2


@pytest.mark.parametrize("accumulation", [1, 2])
def test_with_latents_they_are_one_too(dataset, tmp_path, accumulation):
    """With hardly any noise around posterior means."""
    common = {
        "max_steps": 8,
        "accumulation": accumulation,
        "model__dropout": 0.0,
        "latent__word_dropout": 0.0,
        "latent__level_dropout": 0.0,
    }
    schedule = {"kind": "exponential", "start": 0.3, "hold": 0.2, "full": 0.6}
    common |= {"latent__initial_log_variance": -12.0, "loss__kl_schedule": schedule}
    common |= {"training__optimizer": {"kind": "adamw"}, "loss__echo": 0.0}  # the positions that echo are drawn
    one = fit(latent_profile("vae", **common, data__batch_size=4), dataset, tmp_path / "one", threads=1)
    two = fit(latent_profile("vae", **common, data__batch_size=2), dataset, tmp_path / "two", processes=2, threads=1)
    assert one.tokens == two.tokens
    compared = 0
    for expected, found in zip(told(tmp_path / "one"), told(tmp_path / "two"), strict=True):
        for name in (name for name in expected if name.startswith(("train/", "gradient", "beta", "valid/elbo"))):
            assert found[name] == pytest.approx(expected[name], rel=2e-3), (expected["step"], name)
            compared += 1
    assert compared > 8 * 8


def _train_as(rank: int, folder: Path) -> None:
    """One of two processes; its weights are left in the folder."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    run = Run(folder / "run")
    accelerator, processes = start_accelerator(run.profile(), device="cpu")
    session = build_session(run, run.profile(), accelerator=accelerator, processes=processes, found=None)
    Loop(session, lambda session, interrupts: [], None, silent, Interrupts()).run()
    learner = session.learner
    weights = {f"model.{name}": tensor for name, tensor in learner.plain.state_dict().items()}
    if learner.adversary is not None:
        weights |= {f"discriminator.{name}": one for name, one in learner.adversary.plain.state_dict().items()}
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / f"{rank}.safetensors")
    distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("vae", {"loss__bag": 0.0, "loss__echo": 0.0}),
        ("vae", {"latent__batch_norm": True}),
        ("vae_gan", {"accumulation": 2}),
    ],
)
def test_all_processes_have_the_same_weights(dataset, tmp_path, mode, options):
    """Through every stage of the discriminator; and where latents are asked nothing by themselves."""
    profile = latent_profile(mode, max_steps=12, data__batch_size=2, eval_every=6, **options)
    create_checked(tmp_path / "run", profile, dataset, processes=2)
    multiprocessing.start_processes(_train_as, (tmp_path,), nprocs=2, start_method="spawn")
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    assert any(name.startswith("discriminator.") for name in first) == (mode == "vae_gan")
    assert any(name.endswith("running_var") for name in first) == profile.latent.batch_norm
    assert [name for name in first if not first[name].equal(second[name])] == []


def test_two_processes_resume_bit_by_bit_and_stop_together(dataset, tmp_path):
    profile = small_profile(max_steps=60, data__batch_size=2)
    fit(profile, dataset, tmp_path / "whole", processes=2, threads=1)
    interrupts = Interrupts()

    def report(progress):
        interrupts.stop = signal.SIGTERM

    first = fit(profile, dataset, tmp_path / "parts", processes=2, threads=1, report=report, interrupts=interrupts)
    assert (first.interrupted, first.signal) == (True, signal.SIGTERM)
    assert 0 < first.step < 60
    assert resume(tmp_path / "parts").step == 60
    assert told(tmp_path / "parts") == told(tmp_path / "whole")
    assert tensors(tmp_path / "parts") == tensors(tmp_path / "whole")
    names = {name for name in tensors(tmp_path / "whole") if name.startswith("random/")}
    assert names == {"random/0.cpu", "random/1.cpu"}


def test_an_error_of_a_worker_is_the_parents(dataset, tmp_path):
    fit(small_profile(max_steps=1), dataset, tmp_path / "run", threads=1)
    for path in (tmp_path / "run" / "checkpoints").glob("step-*/model.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(AurlError, match="no checkpoint") as caught:
        resume(tmp_path / "run", processes=2)
    assert caught.value.exit_code == DamagedError.exit_code
    assert not workers_of(psutil.Process())


def test_when_a_worker_is_killed_the_others_end_and_the_run_goes_on_later(dataset, tmp_path):
    killed = []

    def report(progress):
        if not killed:
            victim = workers_of(psutil.Process())[-1]
            victim.kill()
            killed.append(victim)

    with pytest.raises(AurlError, match="killed by signal 9"):
        fit(small_profile(max_steps=500), dataset, tmp_path / "run", processes=2, threads=1, report=report)
    assert not workers_of(psutil.Process())
    assert resume(tmp_path / "run", changes={"max_steps": 12}).step >= 12


SCRIPT = """
import sys
from pathlib import Path
from aurl.training.trainer import fit
from tests.support.training import small_profile
fit(small_profile(), Path(sys.argv[1]), Path(sys.argv[2]), processes=2, threads=1)
"""


def test_workers_do_not_outlive_their_parent(dataset, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])}
    command = [sys.executable, "-c", SCRIPT, str(dataset), str(tmp_path / "run")]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as parent:
        wait_for(lambda: told(tmp_path / "run"), parent)
        workers = workers_of(psutil.Process(parent.pid))
        assert len(workers) == 2
        parent.kill()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
    assert resume(tmp_path / "run", changes={"max_steps": 12}).step >= 12


LAUNCHED = """
import json, sys
from pathlib import Path
from aurl.training.trainer import fit
from tests.support.training import small_profile
result = fit(small_profile(max_steps=6, data__batch_size=2), Path(sys.argv[1]), lambda: Path(sys.argv[2]), threads=1)
print("MAIN" if result.is_main else "OTHER", result.step)
"""


def test_accelerate_launch_trains_one_run_with_two_processes(dataset, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(LAUNCHED)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    settings = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    done = subprocess.run(
        [*launcher, *settings, str(script), str(dataset), str(tmp_path / "run")],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["6", "6", "MAIN", "OTHER"]
    assert [record["step"] for record in told(tmp_path / "run") if "lr" in record] == list(range(1, 7))
    fit(small_profile(max_steps=6, data__batch_size=2), dataset, tmp_path / "own", processes=2, threads=1)
    assert told(tmp_path / "run") == told(tmp_path / "own")


def wait_for(condition, process: subprocess.Popen, seconds: float = 120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)

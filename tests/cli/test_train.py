"""`aurl train` and `aurl resume`."""

import json
import signal
import subprocess
import sys

import pytest
from tests.support.command_line import TINY

from aurl.errors import ExitCode
from aurl.profile import read_resolved


def losses(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}


def test_latest_data_set_is_taken_and_said_and_the_run_becomes_the_latest(invoke, home):
    code, out, err = invoke("train", *TINY, "--max-steps", 2, "--name", "second", "--threads", 1, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["schema"] == "aurl.train/1"
    assert (told["step"], told["status"], told["run_folder"]) == (2, "finished", str(home / "runs" / "second"))
    assert "data set: songs, the latest" in err
    assert "run: second" in err
    assert (home / "runs" / ".latest").read_text() == "second\n"


def test_device_decides_the_size_and_says_so(invoke, home):
    few = (
        "--max-steps",
        1,
        "--set",
        "data.seq_len=32",
        "--set",
        "data.batch_size=2",
        "--set",
        "training.sample_every=0",
    )
    code, _, err = invoke("train", *few, "--device", "cpu", "--name", "sized", "--threads", 1)
    assert code == 0, err
    assert "size: small, which suits this device (cpu)" in err
    assert read_resolved(home / "runs" / "sized" / "profile.toml").model.d_model == 256


def test_what_the_data_set_has_settled_is_kept_in_the_run_and_said(invoke, home):
    args = ("--max-steps", 1, "--name", "told", "--set", "tokens.parts=false", "--threads", 1)
    code, _, err = invoke("train", *TINY, *args)
    assert code == 0, err
    assert "tokens.parts = True: the data set was prepared so" in err
    assert read_resolved(home / "runs" / "told" / "profile.toml").tokens.parts is True


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--name", "first"), ExitCode.USAGE, "aurl resume first"),
        (("--name", "../x"), ExitCode.USAGE, "cannot be a name"),
        (("--data", "song"), ExitCode.NOT_FOUND, "did you mean songs?"),
        (("--device", "tpu"), ExitCode.USAGE, "there is: cpu"),
        (("--set", "model.n_heads=7"), ExitCode.USAGE, "n_heads"),
        (("--set", "training.precision=fp16", "--device", "cpu"), ExitCode.USAGE, "fp16 needs a GPU"),
        (("--set", "training.best_by=valid/nats"), ExitCode.USAGE, "valid/nats is not measured"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(invoke, home, args, code, said):
    result, out, err = invoke("train", *TINY, "--max-steps", 1, *args)
    assert (result, out) == (code, "")
    assert said in err
    assert "run: " not in err
    assert (home / "runs" / ".latest").read_text() == "first\n"
    assert [path.name for path in (home / "runs").iterdir() if path.is_dir()] == ["first"]
    assert invoke("resume", "first")[0] == 0


def test_resume_goes_on_by_name_and_without_one_takes_the_latest_unfinished(invoke, home):
    code, out, _ = invoke("resume", "first", "--max-steps", 8, "--json")
    assert code == 0
    assert json.loads(out)["step"] == 8
    code, _, err = invoke("resume")
    assert code == ExitCode.NOT_FOUND
    assert "no unfinished run" in err
    assert "aurl train" in err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_run_goes_on_as_if_it_had_not_been(aurl, home, number, code):
    rarely = ("--set", "training.eval_every=15", "--set", "training.checkpoint_every=15")
    args = [*TINY, *rarely, "--set", "training.log_every=1", "--threads", "1", "--max-steps", "30"]
    assert aurl("train", *args, "--name", "whole").returncode == 0
    command = [sys.executable, "-m", "aurl", "train", *args, "--name", "cut"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = home / "runs" / "cut" / "metrics.jsonl"
    while not (metrics.is_file() and metrics.read_text().count("\n") > 4):
        assert process.poll() is None
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert "aurl resume cut" in err
    resumed = aurl("resume", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert "run: cut, the latest unfinished one" in resumed.stderr
    assert json.loads(resumed.stdout)["step"] == 30
    assert losses(home / "runs" / "cut") == losses(home / "runs" / "whole")


@pytest.mark.slow
def test_damaged_checkpoint_is_said_aloud_and_the_one_before_is_used(aurl, home):
    newest = max((home / "runs" / "first" / "checkpoints").glob("step-*"))
    weights = newest / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(bytes(damaged))
    result = aurl("resume", "first", "--max-steps", 8, "--quiet")
    assert result.returncode == 0, result.stderr
    assert newest.name in result.stderr
    for folder in (home / "runs" / "first" / "checkpoints").glob("step-*"):
        (folder / "model.safetensors").write_bytes(b"\0")
    assert aurl("resume", "first", "--max-steps", 9).returncode == ExitCode.DAMAGED


LAUNCHERS = {
    "--processes": ([], ["--processes", "2"]),
    "torchrun": (["-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"], []),
    # On CPUs without MPI it starts one process, however many are asked for.
    "accelerate launch": (["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"], []),
}


def launch_command(how, name):
    launcher, flags = LAUNCHERS[how]
    args = ["train", *TINY, "--max-steps", "4", "--name", name, "--threads", "1", "--json", "--device", "cpu", *flags]
    return [sys.executable, *launcher, "-m", "aurl", *args]


def launch(how, name):
    """Run to the end; a launcher that hangs is asked to end, as it then ends its own processes."""
    with subprocess.Popen(
        launch_command(how, name), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            out, err = process.communicate(timeout=180)
        except subprocess.TimeoutExpired:
            process.terminate()
            raise
    return process.returncode, out, err


@pytest.mark.slow
@pytest.mark.parametrize("how", LAUNCHERS)
def test_processes_of_a_run_speak_with_one_voice(home, how):
    code, out, err = launch(how, "two")
    assert code == 0, err
    told = json.loads(out)
    assert (told["step"], told["run_folder"]) == (4, str(home / "runs" / "two"))
    processes = json.loads((home / "runs" / "two" / "run.json").read_text())["processes"]
    assert processes == (1 if how == "accelerate launch" else 2)
    assert err.count("data set: songs, the latest") == 1
    assert err.count("next: aurl generate") == 1
    assert sorted(path.name for path in (home / "runs").iterdir() if path.is_dir()) == ["first", "two"]


@pytest.mark.slow
def test_launched_processes_tell_of_an_error_once(home):
    code, _, err = launch("torchrun", "first")
    assert code != 0
    assert err.count("aurl: error: the run first exists already") == 1
    assert "aurl [process 1]: error" not in err


def test_a_run_begins_with_the_weights_of_another_and_is_built_like_it(invoke, home):
    args = ("--from", "first", "--max-steps", 1, "--name", "second", "--threads", 1, "--set", "training.sample_every=0")
    code, out, err = invoke("train", *args, "--set", "data.seq_len=64", "--set", "training.precision=fp32", "--json")
    assert code == 0, err
    told = json.loads((home / "runs" / "second" / "run.json").read_text())["parent"]
    assert (told["name"], told["run"]) == ("first", str(home / "runs" / "first"))
    first, second = (read_resolved(home / "runs" / name / "profile.toml") for name in ("first", "second"))
    assert (second.model, second.latent) == (first.model, first.latent)
    assert "size:" not in err
    adapters = ("--set", "training.lora.rank=2", *args[:4], "--name", "third", *args[6:])
    code, out, err = invoke("train", *adapters, "--set", "data.seq_len=64", "--json")
    assert code == 0, err
    assert json.loads(out)["parameters"] == 2 * 2 * (64 + 192 + 64 + 64 + 2 * (64 + 256))
    assert invoke("generate", "--run", "third", "--seconds", 2, "--output", "third.mid")[0] == 0


def test_a_run_has_a_teacher(invoke, home):
    args = (*TINY, "--teacher", "first@latest", "--max-steps", 2, "--set", "training.log_every=1", "--threads", 1)
    code, _, err = invoke("train", *args, "--name", "pupil")
    assert code == 0, err
    run = home / "runs" / "pupil"
    assert json.loads((run / "run.json").read_text())["teacher"]["name"] == "first"
    assert "train/distillation" in json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    assert read_resolved(run / "profile.toml").loss.terms == {"distillation": {"weight": 1.0, "temperature": 2.0}}


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--from", "fist"), ExitCode.NOT_FOUND, "did you mean first?"),
        (("--from", "first@step-9"), ExitCode.NOT_FOUND, "no checkpoint 'step-9'"),
        (("--from", "first", "--set", "model.d_model=32"), ExitCode.USAGE, "model.d_model is 32, and 64 in first"),
        (("--teacher", "fist"), ExitCode.NOT_FOUND, "did you mean first?"),
        (("--set", "training.lora.rank=4"), ExitCode.USAGE, "name it: --from RUN"),
        (("--set", "training.teacher=first"), ExitCode.USAGE, "add loss.terms.distillation"),
    ],
)
def test_other_runs_that_do_not_fit_are_refused_before_anything_is_made(invoke, home, args, code, said):
    few = ("--max-steps", 1, "--set", "data.seq_len=64", "--device", "cpu")
    sized = () if "--from" in args else ("--profile", "tiny")
    result, out, err = invoke("train", *few, *sized, *args)
    assert (result, out) == (code, "")
    assert said in err
    assert [path.name for path in (home / "runs").iterdir() if path.is_dir()] == ["first"]

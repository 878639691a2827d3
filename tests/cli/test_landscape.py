"""`aurl landscape`."""

import json
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from aurl.errors import ExitCode
from aurl.training.landscape import Landscape, look, prepare_look

FEW = ("--points", 3, "--windows", 2, "--threads", 1, "--device", "cpu")


def test_picture_and_numbers(invoke, home, tmp_path):
    code, out, err = invoke("landscape", "first", *FEW, "-o", tmp_path / "out.png", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["schema"] == "aurl.landscape/1"
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    kept = json.loads((tmp_path / "out.json").read_text())
    assert kept["losses"] == told["landscape"]["losses"]
    assert kept["question"]["run"] == "first"
    assert len(kept["losses"]) == 3
    code, out, err = invoke("landscape", "first", *FEW, "-o", tmp_path / "out.png")
    assert (code, out) == (ExitCode.USAGE, "")
    assert "--force" in err
    code, out, _ = invoke("landscape", "first", *FEW, "-o", tmp_path / "out.png", "--force")
    assert code == 0
    for word in ("step-00000006 of first", "nats_per_token", "largest eigenvalue", "2 of the valid split"):
        assert word in out


def test_latest_run_and_a_name_of_its_own(invoke, home, tmp_path):
    code, _, err = invoke("landscape", *FEW)
    assert code == 0, err
    assert "run: first, the latest" in err
    assert (tmp_path / "work" / "first-step-00000006.png").is_file()


def test_what_was_begun_is_gone_on_with(invoke, home, tmp_path):
    looking = prepare_look(home / "runs" / "first", points=3, windows=2)
    found = look(looking, keep=lambda known: None)
    replace(found, losses=found.losses[:1], sharpness=None).write(tmp_path / "out.json")
    code, out, err = invoke("landscape", "first", *FEW, "--seed", 1, "-o", tmp_path / "out.png")
    assert (code, out) == (ExitCode.USAGE, "")
    assert "something else" in err
    code, _, err = invoke("landscape", "first", *FEW, "-o", tmp_path / "out.png")
    assert code == 0
    assert "1 of 3 rows are known" in err
    assert Landscape.read(tmp_path / "out.json") == found


@pytest.mark.slow
def test_interrupted_it_keeps_what_it_has(aurl, home, tmp_path):
    command = [sys.executable, "-m", "aurl", "landscape", "first", "--points", "301", "-o", str(tmp_path / "out.png")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "out.json").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "the same command goes on" in err
    assert 0 < len(Landscape.read(tmp_path / "out.json").losses) < 301
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("first", "-o", "x.jpg"), ExitCode.USAGE, "end in .png"),
        (("first", "--points", 4), ExitCode.USAGE, "odd number"),
        (("firs",), ExitCode.NOT_FOUND, "did you mean first?"),
        (("first", "--checkpoint", "step-1"), ExitCode.NOT_FOUND, "known: best, latest"),
        (("first", "--pca"), ExitCode.USAGE, "plane needs three"),
    ],
)
def test_what_cannot_be(invoke, home, args, code, said):
    result, out, err = invoke("landscape", *args, "--threads", 1)
    assert (result, out) == (code, "")
    assert said in err

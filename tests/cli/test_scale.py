"""`aurl scale`."""

import json

import pytest
from tests.support.command_line import TINY

from aurl.errors import ExitCode

SMALL = ("--set", "model.n_layers=1", "--set", "model.n_heads=1", "--threads", 1, "--device", "cpu")


@pytest.mark.slow
def test_models_are_trained_and_their_law_is_told(invoke, home, tmp_path):
    grid = ("--size", "model.d_model=8|16|32", "--steps", "4|8|24", "--set", "training.lr=0.01")
    out_file = tmp_path / "law.png"
    code, out, err = invoke("scale", *TINY, *SMALL, *grid, "--name", "sizes", "-o", out_file, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["schema"] == "aurl.scale/1"
    found = told["scaling"]
    assert len(found["points"]) == 9
    assert len({point["parameters"] for point in found["points"]}) == 3
    assert found["law"]["data_exponent"] > 0
    assert out_file.read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "law.json").read_text()) == found
    code, out, err = invoke("scale", "sizes", "-o", tmp_path / "again.png", "--budget", 1e12)
    assert code == 0, err
    for word in ("alpha = ", "sizes/0008", "1e+12", "the best size"):
        assert word in out
    code, _, err = invoke("scale", "sizes", "-o", out_file)
    assert code == ExitCode.USAGE
    assert "--force" in err


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ((), ExitCode.USAGE, "nothing to fit"),
        (("first",), ExitCode.USAGE, "cannot be told from 1 runs: at least 6"),
        (("firs",), ExitCode.NOT_FOUND, "did you mean first?"),
        (("--size", "model.d_model=8|16"), ExitCode.USAGE, "belong together"),
        (("--size", "model.width=8|16", "--steps", "1|2"), ExitCode.USAGE, "model.width: unknown key"),
        (("first", "-o", "x.pdf"), ExitCode.USAGE, "end in .png"),
        (("first", "--budget", "0"), ExitCode.USAGE, "above 0"),
    ],
)
def test_what_cannot_be(invoke, home, args, code, said):
    result, out, err = invoke("scale", *args)
    assert (result, out) == (code, "")
    assert said in err

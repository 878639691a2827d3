"""`aurl runs average | verify | clean`."""

import json

from aurl.errors import ExitCode


def test_a_mean_is_made_and_can_be_generated_with(invoke, home):
    code, out, err = invoke("runs", "average", "first", "--last", "2")
    name = out.strip()
    assert (code, name) == (0, "average-00000006-last2")
    assert f"aurl generate --run first --checkpoint {name}" in err
    code, out, _ = invoke("runs", "average", "--step", "3", "--step", "6", "--json")
    assert (code, json.loads(out)["checkpoint"]) == (0, "average-00000006-steps2")
    code, _, err = invoke("generate", "--run", "first", "--checkpoint", name, "--seconds", "1", "--seed", "1")
    assert code == 0, err
    code, _, err = invoke("runs", "average", "first")
    assert code == ExitCode.USAGE
    assert "--last N, --best K, or --step STEP" in err


def test_damage_is_found_and_cleared(invoke, home):
    checkpoints = home / "runs" / "first" / "checkpoints"
    code, out, _ = invoke("runs", "verify")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if line.endswith("whole")] == [
        "step-00000003",
        "step-00000006",
    ]
    (checkpoints / "step-00000003" / "model.safetensors").write_bytes(b"")
    code, out, _ = invoke("runs", "verify", "first", "--json")
    found = {one["name"]: one["fault"] for one in json.loads(out)["checkpoints"]}
    assert code == ExitCode.DAMAGED
    assert "model.safetensors differs" in found["step-00000003"]
    assert found["step-00000006"] == ""
    (checkpoints / "damaged-step-00000001").mkdir()
    code, out, _ = invoke("runs", "clean", "--dry-run")
    assert (code, out.splitlines()[0]) == (0, "damaged-step-00000001")
    assert out.endswith("would be deleted\n")
    assert (checkpoints / "damaged-step-00000001").is_dir()
    assert invoke("runs", "clean")[0] == 0
    assert not (checkpoints / "damaged-step-00000001").exists()
    assert invoke("runs", "clean")[:2] == (0, "nothing to delete\n")


def test_a_damaged_checkpoint_is_told_of_once(invoke, home):
    (home / "runs" / "first" / "checkpoints" / "step-00000006" / "model.safetensors").write_bytes(b"")
    code, _, err = invoke("resume", "first", "--max-steps", "9", "--device", "cpu")
    assert code == 0
    assert [line for line in err.splitlines() if "step-00000006" in line and "passed over" in line] == [
        line for line in err.splitlines() if "model.safetensors" in line
    ]
    assert err.count("passed over") == 1

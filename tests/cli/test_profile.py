"""`aurl profile list|show|new|check`."""

import json
import re
import subprocess

import pytest
import tomli

from aurl.errors import ExitCode
from aurl.model.build import describe
from aurl.profile import SIZES, Profile, list_profiles, load_profile


@pytest.fixture
def aurl(invoke):
    """The command in this process, which has torch already."""
    return lambda *args: subprocess.CompletedProcess(args, *invoke(*args))


def test_list_has_the_packaged_profiles_and_the_users_own(aurl, tmp_path):
    mine = tmp_path / "user" / ".config" / "aurl" / "profiles"
    mine.mkdir(parents=True)
    (mine / "evening.toml").write_text('description = "For the evening."')
    result = aurl("profile", "list")
    assert (result.returncode, result.stderr) == (0, "")
    rows = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert {"transformer", "tiny", "small", "base", "large", "dev", "prod", "evening"} <= rows.keys()
    assert "For the evening." in rows["evening"]
    listed = json.loads(aurl("profile", "list", "--json").stdout)["profiles"]
    assert {profile["name"] for profile in listed} == rows.keys()


def test_show_prints_a_profile_that_can_be_loaded(aurl, tmp_path):
    result = aurl("profile", "show", "-p", "tiny", "--set", "training.lr=0.125")
    assert result.returncode == 0
    (tmp_path / "work" / "shown.toml").write_text(result.stdout)
    assert tomli.loads(result.stdout)["training"]["lr"] == 0.125
    assert load_profile(["./shown.toml"]).hash == load_profile(["tiny"], ["training.lr=0.125"]).hash


def test_show_origin_tells_where_each_value_comes_from(aurl, tmp_path, environment):
    (tmp_path / "work" / "aurl.toml").write_text("[training]\nseed = 3")
    environment.setenv("AURL_TRAINING__PATIENCE", "4")
    args = ("profile", "show", "--profile", "tiny", "-s", "training.lr=0.125")
    lines = {line.split()[0]: line for line in aurl(*args, "--origin").stdout.splitlines()}
    assert lines["training.seed"].endswith(str(tmp_path / "work" / "aurl.toml"))
    assert lines["training.patience"].endswith("AURL_TRAINING__PATIENCE")
    assert lines["training.lr"].endswith("--set training.lr")
    assert lines["model.d_model"].endswith("packaged tiny")
    assert lines["training.clipping"].endswith("default")
    shown = json.loads(aurl(*args, "--json").stdout)
    assert shown["values"]["training.patience"] == 4
    assert shown["origins"]["training.patience"] == "AURL_TRAINING__PATIENCE"


def test_faults_are_shown_together_with_the_documented_code(aurl):
    result = aurl("profile", "show", "--set", "training.lrr=1", "--set", 'prepare.split={kind="hsh"}')
    assert (result.returncode, result.stdout) == (ExitCode.USAGE, "")
    assert "did you mean training.lr?" in result.stderr
    assert "did you mean hash?" in result.stderr


def test_new_writes_a_file_once(aurl, tmp_path):
    path = tmp_path / "work" / "mine.toml"
    result = aurl("profile", "new", "mine.toml")
    assert (result.returncode, result.stdout) == (0, "mine.toml\n")
    assert "--profile mine.toml" in result.stderr
    path.write_text("mine")
    again = aurl("profile", "new", "mine.toml")
    assert again.returncode == ExitCode.USAGE
    assert "--force" in again.stderr
    assert path.read_text() == "mine"
    assert aurl("profile", "new", "mine.toml", "--force").returncode == 0
    assert path.read_text() != "mine"


def test_new_with_a_name_makes_a_profile_that_can_be_named(aurl):
    assert aurl("profile", "new", "evening").returncode == 0
    assert aurl("profile", "show", "--profile", "evening").returncode == 0


def test_new_to_stdout(aurl, tmp_path):
    result = aurl("profile", "new", "-")
    assert tuple(tomli.loads(result.stdout)) == tuple(name for name in Profile.model_fields if name != "stages")
    assert "#   [[stages]]" in result.stdout
    assert not list((tmp_path / "work").iterdir())


def test_new_refuses_names_that_leave_the_folder(aurl):
    assert aurl("profile", "new", "../evil").returncode == ExitCode.USAGE


def test_check_counts_parameters_and_memory_of_every_size(invoke):
    sizes = {}
    for size in SIZES:
        code, out, err = invoke("profile", "check", "-p", size, "--json")
        assert (code, err) == (0, "")
        sizes[size] = json.loads(out)
        parts = sizes[size]["parts"].values()
        for name in ("weight_bytes", "optimizer_bytes", "activation_bytes", "forward_flops_per_token"):
            assert sum(part[name] for part in parts) == pytest.approx(sizes[size][name])
        assert sum(sizes[size]["parameters"].values()) == sizes[size]["total_parameters"]
    assert [sizes[size]["training_bytes"] for size in SIZES] == sorted(sizes[size]["training_bytes"] for size in SIZES)


@pytest.mark.parametrize("size", SIZES)
def test_a_size_is_as_large_as_it_says(size):
    description = next(listed.description for listed in list_profiles() if listed.name == size)
    told = [float(number) * 1e6 for number in re.findall(r"([\d.]+) M ", description)]
    for mode, parameters in zip(("transformer", "vae"), told, strict=True):
        assert describe(load_profile([mode, size])).total_parameters == pytest.approx(parameters, rel=0.25)


def test_check_is_a_table_with_a_row_for_each_part_and_their_sum(aurl):
    result = aurl("profile", "check", "-p", "vae_gan", "-p", "tiny")
    told = json.loads(aurl("profile", "check", "-p", "vae_gan", "-p", "tiny", "--json").stdout)
    lines = result.stdout.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines[1 : len(told["parts"]) + 2]}
    assert rows.keys() == told["parts"].keys() | {"total"}
    for name, part in told["parts"].items():
        assert rows[name][0] == f"{part['parameters']:,}"
        assert rows[name][3] == f"{part['activation_bytes'] / 2**20:,.1f}"
        assert rows[name][4] == f"{part['forward_flops_per_token'] / 1e6:,.3f}"
    assert rows["total"][0] == f"{told['total_parameters']:,}"
    assert "8 × 256 tokens" in lines[-2]
    assert "of cache per token" in lines[-1]


def test_check_takes_the_ids_of_a_data_set(invoke, home):
    fewest = ("profile", "check", "-p", "tiny", "--set", "tokens.parts=false", "--set", "tokens.header=[]", "--json")
    few = json.loads(invoke(*fewest)[1])
    code, out, err = invoke(*fewest, "--data", "songs")
    assert code == 0
    assert "tokens.parts = True: the data set was prepared so" in err
    assert json.loads(out)["parameters"]["embedding"] > few["parameters"]["embedding"]


def test_check_tells_of_adapters_and_of_stages(invoke):
    told = ("profile", "check", "-p", "tiny", "-p", "course", "--set", "training.lora.rank=4")
    code, out, err = invoke(*told)
    assert code == 0, err
    # rank × (in + out) of qkv, out, up and down in two layers
    assert f"adapters: {2 * 4 * (64 + 192 + 64 + 64 + 2 * (64 + 256)):,} parameters learn" in out
    assert "a training step on 8 × 256 tokens:" in out
    windows = {"pretrain": "16 × 256", "finetune": "8 × 512", "polish": "4 × 1024"}
    assert all(f"stage {name}: {window} tokens: " in out for name, window in windows.items())
    stages = json.loads(invoke(*told, "--json")[1])["stages"]
    assert [stages[name]["seq_len"] for name in windows] == [256, 512, 1024]


def test_check_says_which_size_the_device_chose(invoke):
    code, out, err = invoke("profile", "check")
    assert code == 0
    assert "parameters" in out
    assert "size: " in err


def test_check_finds_faults_of_components(invoke):
    code, out, err = invoke("profile", "check", "--set", "model.attention.sliding_window.windw=3")
    assert (code, out) == (ExitCode.USAGE, "")
    assert "did you mean model.attention.sliding_window.window?" in err

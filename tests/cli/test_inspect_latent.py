"""`aurl inspect-latent`: tables, JSON, folders of pictures, one page."""

import json
from pathlib import Path

import pytest
from tests.support.latent_runs import write_latent_run
from tests.support.pages import Tags
from tests.support.runs import write_run

from aurl.errors import ExitCode
from aurl.tokens.codec import Codec

FEW = ("--windows", 8, "--threads", 1, "--device", "cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose model has latents, beside its data set."""
    return write_latent_run(tmp_path_factory.mktemp("inspected"))


def song(run):
    return next((run.parent / "midi").rglob("*.mid"))


def test_findings_are_told_kept_and_joined(invoke, run):
    code, out, err = invoke("inspect-latent", "stats", run, *FEW, "-o", "look")
    assert code == 0, err
    for word in ("told apart", "global", "local", "fine", "negative ELBO", "look/stats.png"):
        assert word in out
    kept = json.loads(Path("look/stats.json").read_text())
    assert kept["facts"]["windows"] == 8
    assert Path("look/stats.png").read_bytes().startswith(b"\x89PNG")

    args = ("inspect-latent", "project", run, "--level", "local", *FEW, "-o", "look", "--page", "look.html", "--json")
    code, out, err = invoke(*args)
    assert code == 0, err
    told = json.loads(out)
    assert told["schema"] == "aurl.inspect-latent.project/1"
    assert told["files"] == ["look/project.json", "look/project.png", "look.html"]
    assert told["points"] == json.loads(Path("look/project.json").read_text())["facts"]["points"]
    page = Tags(Path("look.html").read_text())
    assert "What latents say" in page.text
    assert "Latents on a plane" in page.text
    assert not [attrs for tag, attrs in page.seen if str(attrs.get("src", "data:")).startswith("http")]
    assert [tag for tag, _ in page.seen].count("circle") == len(told["points"])


def test_metrics_have_a_table_for_each_level(invoke, run):
    args = ("inspect-latent", "metrics", run, "--split", "train", "--windows", 64, "--resamples", 2, "--threads", 1)
    code, out, err = invoke(*args, "--page", "m.html")
    assert code == 0, err
    assert "by chance" in out
    assert out.count("best dimension") == 3
    assert "MIG" in Tags(Path("m.html").read_text()).text


def test_attributes_traversal_and_interpolation_are_heard(invoke, run):
    code, out, err = invoke("inspect-latent", "attributes", run, "--threads", 1, "--json")
    assert code == 0, err
    assert "density" in json.loads(out)["attributes"]
    short = ("--steps", 3, "--beats", 2, *FEW)
    args = ("inspect-latent", "traverse", run, "--level", "fine", "--dimension", 1, "--component", 0, *short)
    code, out, err = invoke(*args, "-o", "walk", "--page", "t.html")
    assert code == 0, err
    assert "6 MIDI files in walk" in out
    assert len(list(Path("walk").glob("*.mid"))) == 6
    assert "fine PC 0" in Tags(Path("t.html").read_text()).text
    code, out, err = invoke(
        "inspect-latent", "interpolate", song(run), song(run), "--run", run, *short, "-o", "way", "--keep", "global"
    )
    assert code == 0, err
    assert "both ends are alike" in out
    assert {path.name for path in Path("way").glob("*.mid")} == {
        f"interpolate-{number}-{place}.mid" for number, place in enumerate(("0.00", "0.50", "1.00"))
    }


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("stats", "--page", "page.txt"), ExitCode.USAGE, "end in .html"),
        (("stats", "--split", "test"), ExitCode.USAGE, "has 0 windows"),
        (("stats", "-o", "file"), ExitCode.USAGE, "no folder"),
        (("stats", "-o", "there"), ExitCode.USAGE, "--force"),
        (("stats", "--checkpoint", "step-7"), ExitCode.NOT_FOUND, "known: best"),
        (("traverse", "--dimension", "99", *FEW), ExitCode.USAGE, "no dimension 99"),
        (("traverse", "--component", "99", *FEW), ExitCode.USAGE, "no component 99"),
        (("traverse", "--reach", "nan", *FEW), ExitCode.USAGE, "--reach nan"),
        (("traverse", "--beats", "inf", *FEW), ExitCode.USAGE, "--beats inf"),
        (("traverse", "--song", "nothing.mid"), ExitCode.NOT_FOUND, "no file nothing.mid"),
    ],
)
def test_what_cannot_be(invoke, run, args, code, said):
    Path("file").write_text("mine")
    Path("there").mkdir()
    Path("there/stats.json").write_text("mine")
    command, *rest = args
    result, out, err = invoke("inspect-latent", command, run, *rest)
    assert (result, out) == (code, "")
    assert said in err
    assert "Traceback" not in err
    assert Path("there/stats.json").read_text() == "mine"


def test_model_without_latents_and_kept_file_of_something_else(invoke, run):
    plain = write_run(Path("plain").resolve(), Codec())
    code, _, err = invoke("inspect-latent", "stats", plain)
    assert code == ExitCode.USAGE
    assert "aurl train --profile vae" in err
    Path("look").mkdir()
    for content in ("[]", '{"facts": {"levels": 3}}'):
        Path("look/metrics.json").write_text(content)
        args = ("inspect-latent", "project", run, *FEW, "-o", "look", "--page", "p.html", "--force")
        code, _, err = invoke(*args)
        assert code == ExitCode.DAMAGED
        assert "aurl inspect-latent metrics --force" in err

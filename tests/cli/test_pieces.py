"""Pieces as files: every kind that a name may ask for, and how they were made."""

import json
import shlex
import wave
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from tests.support.pages import Tags

from aurl.cli.output import Output
from aurl.cli.pieces import write_pieces
from aurl.cli.targets import plan_targets

SHORT = ("--seconds", 2, "--threads", 1, "--run", "first", "--seed", 3)


@pytest.fixture(autouse=True)
def no_soundfont(monkeypatch):
    """Sound is our own, whatever this system has."""
    monkeypatch.setattr("aurl.export.audio.SOUNDFONT_FOLDERS", ())
    monkeypatch.delenv("SOUNDFONT", raising=False)


def test_suffixes_decide_what_is_written(invoke, home):
    outs = [word for suffix in ("mid", "musicxml", "mxl", "wav", "png", "html") for word in ("-o", f"new/a.{suffix}")]
    code, out, err = invoke("generate", *SHORT, "--count", 2, *outs, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert len(list(Path("new").iterdir())) == 11
    first = told["pieces"][0]
    assert (first["path"], first["picture"]) == ("new/a-1.mid", "new/a-1.png")
    assert first["files"] == [f"new/a-1.{suffix}" for suffix in ("mid", "musicxml", "mxl", "wav", "png")]
    assert told["pages"] == ["new/a.html"]
    assert Path("new/a-2.mxl").read_bytes().startswith(b"PK")
    assert fromstring(Path("new/a-1.musicxml").read_bytes().split(b"\n", 2)[2]).get("version") == "4.0"
    with wave.open("new/a-1.wav") as sound:
        assert sound.getnframes() / sound.getframerate() == pytest.approx(first["seconds"], abs=1.5)
    page = Tags(Path("new/a.html").read_text(encoding="utf-8"))
    assert sum(tag == "canvas" for tag, _ in page.seen) == 2
    assert "nats per token" in page.text


def test_page_alone_holds_everything(invoke, home):
    code, out, err = invoke("generate", *SHORT, "-o", "a.html")
    assert code == 0, err
    assert [path.name for path in Path().iterdir()] == ["a.html"]
    assert "all of them: a.html" in out


def test_told_command_makes_the_same_bytes(invoke, home):
    """Also those of the second of several, whose seed is its own."""
    args = ("--count", 2, "--temperature", 0.7, "--top-k", 12, "-o", "a.mid", "--choices", "--json")
    code, out, err = invoke("generate", *SHORT, *args)
    assert code == 0, err
    second = json.loads(out)["pieces"][1]
    told = json.loads(Path(second["choices"]).read_text())
    assert (told["options"]["top_k"], told["options"]["min_p"]["from"]) == ({"value": 12, "from": "option"}, "profile")
    words = shlex.split(told["command"])
    code, _, err = invoke(*words[1:])
    assert code == 0, err
    assert Path(words[-1]).read_bytes() == Path(second["path"]).read_bytes()


def test_sound_with_a_soundfont_that_is_not_there(invoke, home):
    code, _, err = invoke("generate", *SHORT, "-o", "a.wav", "--soundfont", "no.sf2")
    assert code != 0
    assert "--soundfont: there is no file no.sf2" in err
    assert not list(Path().iterdir())


def test_where_no_piece_was_begun_there_is_no_page(capsys, tmp_path):
    page = tmp_path / "a.html"
    targets = plan_targets([str(page)], count=2, seed=1)
    write_pieces(Output(as_json=True), iter(()), targets, facts={})
    told = json.loads(capsys.readouterr().out)
    assert (told["pieces"], told["pages"]) == ([], [])
    assert not page.exists()

"""`aurl generate`: where pieces go and what is refused."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import mido
import pytest
from tests.support.runs import write_run

from aurl.errors import ExitCode
from aurl.tokens.codec import Codec

SHORT = ("--seconds", 1, "--threads", 1, "--run", "first")


def seconds(data):
    return mido.MidiFile(file=io.BytesIO(data)).length


def test_three_lines_end_in_a_midi_file_and_a_picture(invoke, home, tmp_path):
    code, out, err = invoke("generate", "--temperature", 0.9, "-o", "out.mid", "--seconds", 2, "--picture", "roll.png")
    assert code == 0, err
    assert "run: first, the latest" in err
    assert "out.mid" in out
    assert 0 < seconds((tmp_path / "work" / "out.mid").read_bytes()) <= 2.5
    assert (tmp_path / "work" / "roll.png").read_bytes().startswith(b"\x89PNG")


def test_same_seed_same_bytes_and_the_seed_is_told(invoke, home):
    code, out, _ = invoke("generate", *SHORT, "-o", "a.mid", "--json")
    [piece] = json.loads(out)["pieces"]
    assert (code, piece["path"]) == (0, "a.mid")
    invoke("generate", *SHORT, "-o", "b.mid", "--seed", piece["seed"])
    invoke("generate", *SHORT, "-o", "c.mid", "--seed", piece["seed"] + 1)
    first, same, other = (Path(name).read_bytes() for name in ("a.mid", "b.mid", "c.mid"))
    assert first == same != other


def test_several_pieces_are_numbered_and_each_has_its_seed(invoke, home):
    code, out, _ = invoke(
        "generate", *SHORT, "-n", 2, "-o", "new/take.mid", "--picture", "new/roll.png", "--seed", 5, "--json"
    )
    assert code == 0
    assert [piece["seed"] for piece in json.loads(out)["pieces"]] == [5, 6]
    assert sorted(path.name for path in Path("new").iterdir()) == [
        "roll-1.png",
        "roll-2.png",
        "take-1.mid",
        "take-2.mid",
    ]


def test_without_a_name_the_seed_is_the_name(invoke, home):
    code, out, _ = invoke("generate", *SHORT, "--seed", 77)
    assert code == 0
    assert [path.name for path in Path().iterdir()] == ["aurl-77.mid"]
    assert "aurl-77.mid" in out


@pytest.mark.parametrize("existing", ["out-2.mid", "roll-1.png"])
def test_nothing_is_overwritten_without_force(invoke, home, existing):
    Path(existing).write_text("mine")
    args = ("generate", *SHORT, "-n", 2, "-o", "out.mid", "--picture", "roll.png")
    code, _, err = invoke(*args)
    assert code == ExitCode.USAGE
    assert existing in err
    assert "--force" in err
    assert Path(existing).read_text() == "mine"
    assert [path.name for path in Path().iterdir()] == [existing]
    assert invoke(*args, "--force")[0] == 0
    assert Path(existing).read_bytes() != b"mine"


def test_prompt_is_continued(invoke, home, trained):
    song = next((trained.parent / "songs").rglob("*.mid"))
    code, _, err = invoke("generate", *SHORT, "--prompt", song, "--prompt-seconds", 3, "-o", "on.mid")
    assert code == 0, err
    assert 3 <= seconds(Path("on.mid").read_bytes()) <= 4.5


@pytest.fixture
def steered(home):
    """A second run, whose model has latents."""
    return write_run(home / "runs" / "steered", Codec(), overrides=["model.mode=vae", "latent.local_tokens=32"])


def test_piece_like_a_song(invoke, home, trained, steered):
    song = next((trained.parent / "songs").rglob("*.mid"))
    args = ("generate", "--run", "steered", "--like", song, "--seconds", 1, "--threads", 1, "-o", "like.mid", "--json")
    code, out, err = invoke(*args)
    assert code == 0, err
    told = json.loads(out)
    assert (told["mode"], told["like"]) == ("vae", str(song))
    assert (told["variation"], told["seconds"], told["temperature"], told["prompt"]) == (0.0, 1.0, None, None)
    [piece] = told["pieces"]
    assert piece["latents"]["global"] == 1
    assert piece["latents"]["local"] == piece["latents"]["fine"] >= piece["tokens"] // 32
    assert 0 < seconds(Path("like.mid").read_bytes()) <= 1.5


def test_song_to_be_like_needs_latents(invoke, home, trained):
    song = next((trained.parent / "songs").rglob("*.mid"))
    code, _, err = invoke("generate", "--run", "first", "--like", song)
    assert code == ExitCode.USAGE
    assert "mode transformer" in err
    assert "--profile vae" in err
    assert not list(Path().iterdir())


@pytest.fixture
def styled(home):
    """A second run, whose prior knows two composers."""
    overrides = ["model.mode=vae", "latent.style=composer"]
    return write_run(home / "runs" / "styled", Codec(), overrides=overrides, styles=["Bach", "Mozart"])


def test_piece_in_a_style(invoke, home, styled):
    args = ("generate", "--run", "styled", "--seconds", 1, "--threads", 1, "--seed", 1, "--json")
    code, out, err = invoke(*args, "--style", "Mozart", "-o", "mozart.mid")
    assert code == 0, err
    assert json.loads(out)["style"] == "Mozart"
    assert seconds(Path("mozart.mid").read_bytes()) > 0
    code, out, _ = invoke(*args, "-o", "any.mid")
    assert (code, json.loads(out)["style"]) == (0, None)


@pytest.mark.parametrize(
    ("run", "args", "said"),
    [
        ("styled", ("--style", "Motzart"), ("no style 'Motzart'", "known: Bach, Mozart")),
        ("first", ("--style", "Bach"), ("knows no styles", "latent.style=composer")),
        ("styled", ("--style", "Bach", "--like", "song.mid"), ("style of the song", "leave out --style")),
        ("styled", ("--style", "Bach", "--prompt", "song.mid"), ("style of the song", "leave out --style")),
    ],
)
def test_style_that_cannot_be_had(invoke, home, trained, styled, run, args, said):
    shutil.copy(next((trained.parent / "songs").rglob("*.mid")), "song.mid")
    code, _, err = invoke("generate", "--run", run, *args)
    assert code == ExitCode.USAGE
    assert all(text in err for text in said)
    assert [path.name for path in Path().iterdir()] == ["song.mid"]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--run", "frist"), ExitCode.NOT_FOUND, "did you mean first?"),
        (("--checkpoint", "step-9"), ExitCode.NOT_FOUND, "step-9"),
        (("--prompt", "no.mid"), ExitCode.NOT_FOUND, "no.mid"),
        (("--prompt-seconds", "3"), ExitCode.USAGE, "--prompt"),
        (("--like", "no.mid"), ExitCode.NOT_FOUND, "--like"),
        (("--variation", "1"), ExitCode.USAGE, "--like"),
        (("--latent-temperature", "0.5"), ExitCode.USAGE, "--profile vae"),
        (("--like", "-", "--prompt", "-"), ExitCode.USAGE, "stdin"),
        (("-o", "out.gif"), ExitCode.USAGE, "known: .mid"),
        (("-o", "nowhere"), ExitCode.USAGE, "-o nowhere/"),
        (("--picture", "roll.jpg"), ExitCode.USAGE, "PNG"),
        (("--temperature", "-1"), ExitCode.USAGE, "--temperature is -1"),
        (("--top-p", "2"), ExitCode.USAGE, "--top-p is 2"),
        (("--seconds", "3", "--bars", "2"), ExitCode.USAGE, "one of them"),
        (("-o", "-", "-n", "2"), ExitCode.USAGE, "stdout"),
        (("-o", "-", "--json"), ExitCode.USAGE, "stdout"),
    ],
)
def test_what_cannot_work_is_refused_and_nothing_written(invoke, home, args, code, said):
    result, _, err = invoke("generate", *args)
    assert result == code
    assert said in err
    assert not list(Path().iterdir())


def test_damaged_checkpoint_is_never_loaded(invoke, home):
    for weights in home.glob("runs/first/checkpoints/*/*.safetensors"):
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(bytes(content))
    code, _, err = invoke("generate", "-o", "out.mid")
    assert code == ExitCode.DAMAGED
    assert "safetensors" in err


def test_run_may_be_anywhere(invoke, home):
    shutil.move(home / "runs" / "first", "elsewhere")
    assert invoke("generate", "--run", "./elsewhere", "--seconds", 1, "-o", "out.mid")[0] == 0


def test_midi_goes_through_stdin_and_stdout(home, trained):
    song = next((trained.parent / "songs").rglob("*.mid"))
    command = [
        sys.executable,
        "-m",
        "aurl",
        "generate",
        *map(str, SHORT),
        "-o",
        "-",
        "--prompt",
        "-",
        "--prompt-seconds",
        "2",
    ]
    result = subprocess.run(command, input=song.read_bytes(), capture_output=True, check=True)
    assert result.stdout.startswith(b"MThd")
    assert 2 <= seconds(result.stdout) <= 3.5
    assert b"MThd" not in result.stderr

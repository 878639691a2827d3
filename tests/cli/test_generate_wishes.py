"""`aurl generate`: what can be said of new pieces arrives in them, and is told; streams are lines of JSON."""

import io
import json
import shlex
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import mido
import pytest
from tests.support.latent_models import SMALL
from tests.support.runs import write_run
from tests.support.scores import score, track

from aurl.errors import ExitCode
from aurl.midi.read import load_score
from aurl.midi.write import save_midi
from aurl.tokens.codec import Codec

LATENT = ["model.mode=vae", *(f"{key}={value}" for key, value in SMALL.items() if key.startswith("latent."))]
CONTROLS = ['controls.facts=["key","density"]', "controls.chords=true", "controls.infill=0.5", "data.seq_len=256"]
SHORT = ("--threads", 1, "--seed", 1, "--no-progress")


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Runs of untrained models: plain, with latents, and told of everything."""
    folder = tmp_path_factory.mktemp("home") / "runs"
    for name, overrides in {"plain": [], "latent": LATENT, "told": CONTROLS}.items():
        write_run(folder / name, Codec(), overrides=overrides)
    return folder


@pytest.fixture
def generate(invoke, written, environment):
    """Run `aurl generate` in a folder with two songs, `a.mid` and `b.mid`."""
    environment.setenv("AURL_HOME", str(written.parent))
    for name, base in (("a", 60), ("b", 50)):
        beats = track(*((32 * beat, 24, base + beat % 7, 80) for beat in range(32)), program=40)
        save_midi(score(beats), Path(f"{name}.mid"))

    def generate(*args):
        return invoke("generate", *args, *SHORT)

    return generate


def notes_of(path):
    return [note for one in load_score(Path(path)).score.tracks for note in one.notes.pitch.tolist()]


@pytest.mark.parametrize("named", [("plain",), ("--run", "plain"), ("plain", "--run", "plain")])
def test_a_run_is_named_at_once_or_by_its_option(generate, named):
    code, out, err = generate(*named, "--bars", 1, "-o", "out.mid", "--json")
    assert code == 0, err
    assert Path(json.loads(out)["run"]).name == "plain"


def test_constraints_and_filters_reach_the_pieces(generate):
    asked = (
        "--range",
        "C4:B4",
        "--scale",
        "C major",
        "--max-polyphony",
        "2,per=part",
        "--grid",
        "1/4",
        "--max-density",
        "4",
    )
    drawn = ("--typical", "0.9", "--eta", "0.01", "--repetition", "1.2,window=8", "--no-repeat", "3,times=1")
    code, out, err = generate(
        "plain", *asked, *drawn, "--temperature-of", "note_on=0.5", "--bars", 4, "-o", "out.mid", "--json"
    )
    assert code == 0, err
    told = json.loads(out)
    assert (told["pitch_range"], told["repetition"], told["temperature_of"]) == (
        "C4:B4",
        "1.2,window=8",
        ["note_on=0.5"],
    )
    assert told["pieces"][0]["broken"] == []
    pitched = [one for one in load_score(Path("out.mid")).score.tracks if not one.is_drum]
    assert {pitch for one in pitched for pitch in one.notes.pitch.tolist()} <= {60, 62, 64, 65, 67, 69, 71}
    assert sum(len(one.notes) for one in pitched) > 0


def test_a_finished_piece_is_mended(generate):
    code, _, err = generate("plain", "--range", "60:62", "--mend", "--bars", 2, "-o", "out.mid")
    assert code == 0, err
    assert generate("plain", "--bars", 2, "-o", "free.mid")[0] == 0
    mended, original = (load_score(Path(name)).score for name in ("out.mid", "free.mid"))
    onsets, before = ({int(n) for one in piece.tracks for n in one.notes.onset} for piece in (mended, original))
    assert onsets == before
    assert len(onsets) > 1
    pitched = [one for one in mended.tracks if not one.is_drum]
    assert {pitch for one in pitched for pitch in one.notes.pitch.tolist()} <= {60, 61, 62}


def test_pieces_lead_from_one_song_to_another(generate):
    code, out, err = generate("latent", "--interpolate", "a.mid", "b.mid", "--steps", 3, "--bars", 1, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert [piece["path"] for piece in told["pieces"]] == ["aurl-1-1.mid", "aurl-1-2.mid", "aurl-1-3.mid"]
    assert {piece["seed"] for piece in told["pieces"]} == {1}
    assert told["interpolate"] == ["a.mid", "b.mid"]
    assert generate("latent", "--like", "a.mid", "--keep", "global", "--bars", 1, "-o", "kept.mid")[0] == 0


def test_streamed_ways_go_to_the_files_of_their_numbers(generate):
    """The first pieces of both ways are made together, and then the second ones."""
    way = ("latent", "--interpolate", "a.mid", "b.mid", "--steps", 2, "--count", 2, "--bars", 1)
    code, out, err = generate(*way, "-o", "streamed.mid", "--stream")
    assert code == 0, err
    assert [piece["seed"] for piece in json.loads(out.splitlines()[-1])["pieces"]] == [1, 2, 1, 2]
    assert generate(*way, "-o", "made.mid")[0] == 0
    streamed, made = (
        [Path(f"{name}-{number}.mid").read_bytes() for number in range(1, 5)] for name in ("streamed", "made")
    )
    assert streamed == made
    assert made[1] != made[2]


def test_bars_are_filled_in(generate):
    code, _, err = generate("told", "--prompt", "a.mid", "--infill", "3:5", "-o", "filled.mid")
    assert code == 0, err
    old, new = (load_score(Path(name)).score.tracks[0].notes for name in ("a.mid", "filled.mid"))
    outside = [notes.take((notes.onset < 256) | (notes.onset >= 512)) for notes in (old, new)]
    assert outside[0].onset.tolist() == outside[1].onset.tolist()
    assert old != new


def test_a_key_chords_a_tempo_and_instruments_are_asked_for(generate):
    wishes = ("--key", "C minor", "--chords", "Am F C G", "--chord-bars", 0.5, "--tempo", 92, "--meter", "3/4")
    more = ("--instruments", "violin,acoustic bass,drums", "--density", 2, "--guidance", 1.5)
    code, out, err = generate("told", *wishes, *more, "--bars", 2, "-o", "asked.mid", "--json")
    assert code == 0, err
    assert json.loads(out)["chords"] == "Am F C G"
    piece = load_score(Path("asked.mid")).score
    assert piece.tempos.microseconds_per_beat.tolist() == [652174]
    assert (piece.time_signatures.numerator[0], piece.time_signatures.denominator[0]) == (3, 4)
    assert {(one.program, one.is_drum) for one in piece.tracks} <= {(40, False), (32, False), (0, True)}


def test_a_beam_and_a_form(generate):
    assert generate("plain", "--beam", "4,groups=2,diversity=1", "--bars", 1, "-o", "beam.mid")[0] == 0
    assert notes_of("beam.mid")
    assert generate("plain", "--form", "AAB,bars=1,fresh=0", "-o", "form.mid")[0] == 0
    assert notes_of("form.mid")


def test_a_song_that_had_to_be_repaired_says_so_in_one_line(generate):
    overlapping = track((0, 96, 60, 80), (32, 96, 60, 80), (64, 32, 64, 80))
    save_midi(score(overlapping), Path("broken.mid"))
    code, _, err = generate("plain", "--prompt", "broken.mid", "--bars", 1, "-o", "out.mid")
    assert code == 0
    [line] = [line for line in err.splitlines() if "repaired" in line]
    assert line == "aurl: warning: broken.mid was repaired: overlapping notes (1)"
    assert "repaired" not in generate("plain", "--prompt", "a.mid", "--bars", 1, "-o", "other.mid")[2]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("plain", "--run", "told"), ("plain and --run told are two runs", "name one")),
        (("plain", "--infill", "9:13"), ("--infill 9:13 of no song", "--prompt song.mid")),
        (("plain", "--infill", "1:2", "--prompt", "a.mid"), ("not learned to fill in", "--profile controls")),
        (("told", "--infill", "40:50", "--prompt", "a.mid"), ("the song has bars 1 to", "9:13")),
        (("plain", "--like", "a.mid"), ("--like is about latents", "--profile vae")),
        (("plain", "--interpolate", "a.mid", "b.mid"), ("--interpolate is about latents", "--profile vae")),
        (("plain", "--more", "density=1"), ("--more is about latents", "--profile vae")),
        (("latent", "--more", "density"), ("--more 'density' is no NAME=VALUE", "NAME=VALUE")),
        (("latent", "--interpolate", "a.mid", "b.mid", "--steps", "1"), ("1 steps", "--steps 7")),
        (("latent", "--interpolate", "a.mid", "no.mid"), ("--interpolate: there is no file no.mid", "")),
        (("latent", "--like", "a.mid", "--keep", "globe"), ("globe", "global")),
        (("plain", "--instruments", " ,"), ("--instruments names 0 parts", "--instruments piano")),
        (("plain", "--instruments", ",".join(["piano"] * 33)), ("--instruments names 33 parts", "1 to 32")),
        (("plain", "--chords", "Am F"), ("never told chords", "--profile controls")),
        (("told", "--chords", "Am H"), ('"H" names no chord', "for example")),
        (("told", "--chord-bars", "2"), ("--chord-bars of no chords", "--chords")),
        (("told", "--key", "H"), ('"H" names no key', "C minor")),
        (("told", "--meter", "3"), ("--meter 3 is no meter", "3/4")),
        (("told", "--tempo", "9"), ("--tempo 9", "30 to 300")),
        (("told", "--instruments", "pianola"), ("no instrument 'pianola'", "piano")),
        (("told", "--register", "loud"), ("no pitch loud", "C4")),
        (("told", "--guidance", "2"), ("--guidance to nothing", "--key")),
        (("plain", "--typical", "2"), ("filter typical mass", "less than 1")),
        (("plain", "--max-polyphony", "2,pre=part"), ("constraint polyphony pre: unknown key", "did you mean per?")),
        (("plain", "--scale", "C mirror"), ("mirror", "")),
        (("plain", "--mend"), ("--mend of nothing", "--range 48:84")),
        (("plain", "--beam", "2.5"), ("width 2.5 is no whole number", "")),
        (("plain", "--beam", "4,group=2"), ("--beam knows no group", "did you mean groups?")),
        (("plain", "--beam", "4", "--temperature", "1"), ("--temperature is for drawing by chance", "leave out")),
        (("plain", "--form", "A1"), ('"A1" is no form', "--form AABA")),
        (("plain", "--form", "AABA", "--bars", "8"), ("--form says", "leave out --form, or --bars")),
        (("plain", "--stream", "--beam", "2"), ("no note is sure", "leave out --stream, or --beam")),
        (("plain", "--stream", "-o", "-"), ("--stream writes to stdout itself", "-o out.mid")),
    ],
)
def test_what_makes_no_sense_is_one_line_with_the_next_step(generate, args, said):
    code, out, err = generate(*args)
    assert code in (ExitCode.USAGE, ExitCode.NOT_FOUND)
    [line] = [line for line in err.splitlines() if "error:" in line]
    assert all(text in line for text in said)
    assert sorted(path.name for path in Path().iterdir()) == ["a.mid", "b.mid"]
    assert out == ""


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_stream_is_what_the_file_becomes(generate):
    code, out, err = generate("plain", "--stream", "-n", 2, "--bars", 1, "-o", "out.mid")
    assert code == 0, err
    first, *events, last = lines(out)
    assert (first["event"], first["schema"], first["bars"], first["count"]) == ("start", "aurl.stream/1", 1, 2)
    assert (last["event"], [piece["path"] for piece in last["pieces"]]) == ("summary", ["out-1.mid", "out-2.mid"])
    assert [piece["seed"] for piece in last["pieces"]] == [1, 2]
    assert {event["event"] for event in events} == {"begin", "note_on", "note_off", "end"}
    for number in (0, 1):
        played = [event for event in events if event["piece"] == number and event["event"] == "note_on"]
        begins = Counter(
            message.note
            for message in mido.MidiFile(file=io.BytesIO(Path(f"out-{number + 1}.mid").read_bytes()))
            if message.type == "note_on" and message.velocity > 0
        )
        assert Counter(event["pitch"] for event in played) == begins
        assert begins


def test_a_stream_writes_no_file_unless_asked(generate):
    code, out, _ = generate("plain", "--stream", "--bars", 1)
    assert code == 0
    assert lines(out)[-1]["pieces"][0]["path"] is None
    assert sorted(path.name for path in Path().iterdir()) == ["a.mid", "b.mid"]


@pytest.mark.slow
def test_ctrl_c_ends_a_stream_with_its_notes(generate, written):
    command = [sys.executable, "-m", "aurl", "generate", "plain", "--stream", "--seconds", "3600", "--seed", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        told = [json.loads(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGINT)
        told += lines(process.stdout.read())
        assert "stopping" in process.stderr.read()
    assert process.returncode == ExitCode.INTERRUPTED
    balance = Counter()
    for event in told:
        if event["event"] in ("note_on", "note_off"):
            balance[event["part"], event["pitch"]] += 1 if event["event"] == "note_on" else -1
    assert balance
    assert set(balance.values()) == {0}
    assert told[-1]["event"] == "summary"
    assert told[-1]["pieces"][0]["ended"] == "stopped"


def test_the_command_that_is_told_makes_the_same_bytes(generate, invoke):
    asked = ("--chords", "Am F", "--range", "C3:", "--temperature-of", "note_on=0.5", "--guidance", 1.5, "--mend")
    assert generate("told", *asked, "--bars", 2, "-o", "out.mid", "--choices")[0] == 0
    program, command, *words = shlex.split(json.loads(Path("out.json").read_text())["command"])
    assert (program, command) == ("aurl", "generate")
    assert {"--chords", "--range", "--temperature-of", "--guidance", "--mend", "--bars"} <= set(words)
    assert invoke(command, *words, "--no-progress")[0] == 0
    assert Path("aurl-1.mid").read_bytes() == Path("out.mid").read_bytes()

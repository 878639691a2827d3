"""What was chosen is told with where it is from, and the command that is told makes the same bytes."""

import hashlib
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from tests.support.runs import write_run
from tests.support.scores import score, track

from aurl.export.choices import SCHEMA, described, gather_choices, plain, resolved, save_choices
from aurl.generation.pieces import Piece
from aurl.generation.request import Request
from aurl.midi.write import write_midi
from aurl.profile import load_profile
from aurl.tokens.codec import Codec

SONG = score(track((0, 32, 60, 90)))
PIECE = Piece(SONG, np.array([1, 5, 2], np.uint16), 7, nats=3.5, sampled=2, prompt_tokens=1, ended="eos")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("choices") / "runs" / "first", Codec())


@pytest.fixture
def defaults():
    return load_profile(["transformer"], ["generation.top_k=9"]).generation


def test_every_option_has_its_value_and_where_it_is_from(defaults):
    options = resolved(Request(seed=1, temperature=0.5, prompt=SONG), defaults)
    assert (options["temperature"].value, options["temperature"].origin) == (0.5, "option")
    assert (options["top_k"].value, options["top_k"].origin) == (9, "profile")
    assert (options["max_note_beats"].value, options["max_note_beats"].origin) == (8.0, "profile")
    assert (options["variation"].value, options["variation"].origin) == (0.0, "default")
    assert options["prompt"].value == {"path": None, "sha256": hashlib.sha256(write_midi(SONG)).hexdigest()}
    assert not {"seed", "count"} & set(options)


def test_filters_of_the_profile_that_stay_beside_those_of_the_request_are_told(defaults):
    theirs = defaults.model_copy(
        update={"filters": ({"kind": "typical", "mass": 0.9}, {"kind": "eta", "epsilon": 0.1})}
    )
    told = resolved(Request(filters=({"kind": "eta", "epsilon": 0.02},)), theirs)["filters"]
    assert told.value == [{"kind": "typical", "mass": 0.9}, {"kind": "eta", "epsilon": 0.02}]
    assert told.origin == "option"
    assert resolved(Request(), theirs)["filters"].origin == "profile"


def test_file_tells_run_weights_and_ids(run, defaults, tmp_path):
    choices = gather_choices(run, Request(seed=7), defaults=defaults, command=["--bars", "4"], threads=2, device="cpu")
    save_choices(tmp_path / "a.json", choices, PIECE)
    told = json.loads((tmp_path / "a.json").read_text())
    assert told == described(choices, PIECE)
    assert told["schema"] == SCHEMA
    weights = run / "checkpoints" / told["run"]["checkpoint"] / told["weights"]["file"]
    assert told["weights"]["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (told["weights"]["file"], told["piece"]["ids"]) == ("ema.safetensors", [1, 5, 2])
    words = shlex.split(told["command"])
    assert words[:4] == ["aurl", "generate", "--run", str(run)]
    assert (
        words[4:]
        == (
            f"--checkpoint {told['run']['checkpoint']} --device cpu --threads 2 --bars 4 --seed 7 --output aurl-7.mid"
        ).split()
    )


def test_weights_without_an_average(tmp_path, defaults):
    plain_run = write_run(tmp_path / "runs" / "plain", Codec(), ema=False)
    assert gather_choices(plain_run, Request(seed=7), defaults=defaults).weights == "model.safetensors"


def test_songs_are_told_by_their_bytes(tmp_path):
    (tmp_path / "a.mid").write_bytes(b"MThd")
    digest = hashlib.sha256(b"MThd").hexdigest()
    assert plain((tmp_path / "a.mid", Path("gone.mid"))) == [
        {"path": str(tmp_path / "a.mid"), "sha256": digest},
        {"path": "gone.mid", "sha256": None},
    ]
    assert plain({"keep": frozenset({"b", "a"}), 1: PIECE.latents}) == {"keep": ["a", "b"], "1": {}}

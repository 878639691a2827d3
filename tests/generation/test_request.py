"""Requests that cannot be, each named by the options of the command line."""

import re

import pytest

from aurl.errors import UsageError
from aurl.generation.beam import Beam
from aurl.generation.form import Form
from aurl.generation.request import STEPS, Request
from aurl.generation.wishes import Wishes
from aurl.midi.score import Score

SONG = Score()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"count": 0}, "--count 1"),
        ({"seed": -1}, "--seed -1"),
        ({"seed": 2**63 - 1}, "--seed"),
        ({"seconds": 2.0, "bars": 2}, "--bars"),
        ({"prompt_seconds": 2.0}, "--prompt-seconds"),
        ({"infill": "9:13"}, "--prompt song.mid --infill 9:13"),
        ({"infill": "9:13", "prompt": SONG, "bars": 2}, "--bars"),
        ({"infill": "9:13", "prompt": SONG, "prompt_seconds": 2.0}, "--prompt-seconds"),
        ({"infill": "9:13", "prompt": SONG, "mend": True}, "--mend"),
        ({"infill": "9:13", "prompt": SONG, "like": SONG}, "--like"),
        ({"variation": 1.0}, "--like"),
        ({"variation": -1.0, "like": SONG}, "--variation -1.0"),
        ({"variation": float("nan"), "like": SONG}, "--variation nan"),
        ({"keep": ("global",)}, "--keep global"),
        ({"steps": 5}, "--interpolate a.mid b.mid"),
        ({"interpolate": (SONG, SONG), "like": SONG}, "--like"),
        ({"interpolate": (SONG, SONG), "prompt": SONG}, "--prompt"),
        ({"interpolate": (SONG, SONG), "style": "Bach"}, "--style"),
        ({"hold": True}, "--more"),
        ({"style": "Bach", "like": SONG}, "--style"),
        ({"latent_temperature": -0.1}, "--latent-temperature"),
        ({"guidance": 2.0}, "--guidance to nothing"),
        ({"guidance": -1.0, "wishes": Wishes(key=0)}, "--guidance is -1"),
        ({"wishes": Wishes(facts={"density": 0.0})}, "--density 0 is out of range; give notes per beat"),
        ({"wishes": Wishes(facts={"density": float("nan")})}, "--density nan"),
        ({"wishes": Wishes(facts={"polyphony": 0.5})}, "--polyphony 0.5"),
        ({"wishes": Wishes(facts={"polyphony": float("inf")})}, "--polyphony inf"),
        ({"wishes": Wishes(facts={"register": 128.0})}, "--register 128"),
        ({"wishes": Wishes(facts={"dynamics": 5.1})}, "--dynamics 5.1"),
        ({"prompt": SONG, "wishes": Wishes(tempo=92.0)}, "--tempo"),
        ({"prompt": SONG, "wishes": Wishes(meter=(3, 4))}, "--meter"),
        ({"prompt": SONG, "wishes": Wishes(instruments=(0,))}, "--instruments"),
        ({"beam": Beam(), "top_p": 0.9}, "--top-p"),
        ({"form": Form("AB"), "bars": 8}, "--bars"),
        ({"form": Form("AB"), "prompt": SONG}, "--prompt"),
        ({"form": Form("AB"), "beam": Beam()}, "--beam"),
    ],
)
def test_what_cannot_be_asked_names_the_option_and_the_next_step(asked, said):
    with pytest.raises(UsageError) as caught:
        Request(**asked)
    assert said in f"{caught.value.message}; {caught.value.hint}"
    assert caught.value.hint
    assert not re.search(r"\b\w+_\w+\b", caught.value.message), "a name of Python's"


ALL_FACTS = {"density": 0.1, "polyphony": 1.0, "register": 0.0, "dynamics": 5.0}


@pytest.mark.parametrize(
    ("asked", "total", "may_end"),
    [
        ({"like": SONG, "prompt": SONG, "prompt_seconds": 2.0, "variation": 1.0, "keep": ("global",)}, 1, False),
        ({"like": SONG, "prompt": SONG, "more": {"density": 1.0}, "hold": True}, 1, False),
        ({"interpolate": (SONG, SONG), "steps": 2, "variation": 1.0, "seconds": 2.0}, 2, False),
        ({"prompt": SONG, "infill": "1:2", "wishes": Wishes(key=3), "guidance": 2.0}, 1, False),
        ({"form": Form("AABA"), "wishes": Wishes(tempo=92.0)}, 1, True),
        ({"wishes": Wishes(facts=ALL_FACTS), "steering": 0.0}, 1, True),
    ],
)
def test_what_goes_together_is_taken_as_it_is_asked(asked, total, may_end):
    request = Request(**asked)
    assert {name: getattr(request, name) for name in asked} == asked
    assert (request.total, request.may_end) == (total, may_end)


def test_pieces_of_an_interpolation_share_their_seeds():
    request = Request(interpolate=(SONG, SONG), count=2, seed=5, steps=3)
    assert request.total == 6
    assert [request.seed_of(number) for number in range(6)] == [5, 5, 5, 6, 6, 6]
    assert Request(interpolate=(SONG, SONG)).total == STEPS
    plain = Request(count=3, seed=5)
    assert (plain.total, [plain.seed_of(number) for number in range(3)]) == (3, [5, 6, 7])


@pytest.mark.parametrize(
    ("asked", "may_end"),
    [
        ({}, True),
        ({"prompt": SONG}, True),
        ({"seconds": 2.0}, False),
        ({"bars": 2}, False),
        ({"like": SONG}, False),
        ({"interpolate": (SONG, SONG)}, False),
        ({"prompt": SONG, "infill": "1:2"}, False),
    ],
)
def test_pieces_may_end_where_nothing_says_how_long_they_are(asked, may_end):
    assert Request(**asked).may_end is may_end

"""What is asked for, as ids that a model has learned to be told."""

import numpy as np
import pytest
from tests.support.scores import score, track

from aurl.errors import UsageError
from aurl.generation.wishes import Wishes
from aurl.midi.score import Tempos
from aurl.studies.pitch_classes import KEYS
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import FACTS, TIME_SIGNATURES


def codec_of(facts=FACTS, *, parts=True, header=("tempo", "time_signature", "key"), chords=True):
    return Codec(parts=parts, header=header).with_controls(facts, chords=chords, infill=False)


def test_a_header_tells_what_it_can():
    wishes = Wishes(tempo=120.0, meter=(6, 8), facts={"density": 12.0, "register": 45.0, "dynamics": 2.6})
    told = wishes.header(codec_of())
    assert (told["density"], told["register"], told["dynamics"]) == (7, 0, 4)
    assert TIME_SIGNATURES[told["time_signature"]] == (6, 8)
    # 32 bins of equal ratio between 30 and 300 beats a minute.
    nearest = np.abs(np.log(30 * 10 ** (np.arange(32) / 31)) - np.log(120)).argmin()
    assert abs(told["tempo"] - nearest) <= 1
    assert list(wishes.header(codec_of(("density",), header=()))) == ["density"]
    assert Wishes().header(codec_of()) == {}


@pytest.mark.parametrize(
    ("fifths", "minor", "told"), [(7, False, (-5, False)), (-6, False, (6, False)), (2, True, (2, True))]
)
def test_a_key_is_told_as_it_is_measured_where_it_is(fifths, minor, told):
    """C sharp major has seven sharps, D flat major five flats; they sound alike."""
    asked = KEYS.index((fifths, minor))
    value = Wishes(key=asked).header(codec_of())["key"]
    sound = [(7 * KEYS[one][0] + 9 * KEYS[one][1]) % 12 for one in (asked, value)]
    assert sound[0] == sound[1]
    assert KEYS[value][1] == minor
    assert abs(KEYS[value][0]) <= min(abs(told[0]), abs(fifths))
    assert Wishes(key=asked).header(codec_of(()))["key"] == asked
    assert Wishes(key=asked).numbers() == {"key": asked}


def test_whether_anything_is_asked():
    assert not Wishes()
    asked = (
        {"tempo": 90.0},
        {"meter": (3, 4)},
        {"key": 0},
        {"chords": (1,)},
        {"instruments": (0,)},
        {"facts": {"density": 0.0}},
    )
    assert all(Wishes(**one) for one in asked)


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"tempo": 29.9}, "--tempo 29.9"),
        ({"tempo": 301.0}, "--tempo 301"),
        ({"tempo": float("nan")}, "--tempo nan"),
        ({"meter": (17, 4)}, "--meter 17/4"),
        ({"meter": (3, 5)}, "--meter 3/5"),
        ({"chord_bars": 0.0}, "--chord-bars 0"),
        ({"chord_bars": float("nan")}, "--chord-bars nan"),
    ],
)
def test_numbers_out_of_range(wishes, said):
    with pytest.raises(UsageError) as caught:
        Wishes(**wishes)
    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("wishes", "codec", "said"),
    [
        ({"meter": (3, 4)}, codec_of(header=("key",)), "never told the time signature"),
        ({"facts": {"density": 2.0}}, codec_of(("key",)), "never told the density"),
        ({"key": 3}, codec_of((), header=()), "never told the key"),
        ({"chords": (3,)}, codec_of(chords=False), "never told chords"),
        ({"instruments": (3,)}, codec_of(parts=False), "knows no instruments"),
    ],
)
def test_what_a_model_was_never_told(wishes, codec, said):
    with pytest.raises(UsageError, match=said) as caught:
        Wishes(**wishes).check(codec, is_steered=False)
    assert "aurl" in caught.value.hint or "tokens.header" in caught.value.hint
    Wishes(**wishes).check(codec_of(), is_steered=False)


def test_steering_needs_no_telling():
    Wishes(facts={"density": 2.0}, key=3).check(codec_of((), header=()), is_steered=True)
    with pytest.raises(UsageError, match="time signature"):
        Wishes(meter=(3, 4)).check(codec_of((), header=()), is_steered=True)


def test_a_tempo_is_written_whatever_the_model_knows():
    piece = score(track((0, 32, 60, 80)), tempos=Tempos(np.array([0, 64]), np.array([400_000, 300_000])))
    assert Wishes().at_tempo(piece) is piece
    asked = Wishes(tempo=93.0).at_tempo(piece)
    assert (asked.tempos.tick.tolist(), asked.tempos.microseconds_per_beat.tolist()) == ([0], [645161])
    assert asked.tracks == piece.tracks
    Wishes(tempo=93.0).check(codec_of((), header=()), is_steered=False)

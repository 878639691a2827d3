"""What is written behind options: its forms, and what is said of others."""

import pytest

from aurl.cli.generate_values import read_meter, read_numbers, read_pairs, read_pitch, read_range, split_values
from aurl.errors import UsageError


def test_a_main_value_and_what_follows_it():
    assert split_values("8", "size", "--no-repeat") == {"size": "8"}
    assert split_values("C minor", "key", "--scale") == {"key": "C minor"}
    assert split_values(" 8 , times=1,kinds = x", "size", "--no-repeat") == {"size": "8", "times": "1", "kinds": "x"}


def test_pairs_of_several_options_are_joined():
    assert read_pairs(["a=1", "b=-2,c = x y"], "--more") == {"a": "1", "b": "-2", "c": "x y"}
    assert read_numbers({"a": "+1.5", "b": "-2"}, "--more") == {"a": 1.5, "b": -2.0}


@pytest.mark.parametrize(
    ("text", "pitch"),
    [("0", 0), ("127", 127), ("C4", 60), ("c-1", 0), ("G9", 127), ("A0", 21), ("F#3", 54), ("Bb3", 58), ("B#3", 60)],
)
def test_pitches(text, pitch):
    assert read_pitch(text) == pitch


def test_ranges_may_be_open():
    assert read_range("48:84") == {"lowest": 48, "highest": 84}
    assert read_range("C3 : C6") == {"lowest": 48, "highest": 84}
    assert read_range("48:") == {"lowest": 48}
    assert read_range(":C6") == {"highest": 84}


def test_meters():
    assert read_meter("3/4") == (3, 4)
    assert read_meter(" 12 / 8 ") == (12, 8)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: split_values("times=1", "size", "--no-repeat"), "--no-repeat times=1 has no value"),
        (lambda: split_values("8,1", "size", "--no-repeat"), "--no-repeat '1'"),
        (lambda: read_pairs(["density"], "--more"), "--more 'density' is no NAME=VALUE"),
        (lambda: read_pairs(["a=1", "a=2"], "--more"), "--more says twice what a is"),
        (lambda: read_numbers({"a": "much"}, "--more"), "--more a=much is no number"),
        (lambda: read_range("48"), "--range 48 is no LOW:HIGH"),
        (lambda: read_range(":"), "--range : is no LOW:HIGH"),
        (lambda: read_pitch("128"), "no pitch 128"),
        (lambda: read_pitch("H4"), "no pitch H4"),
        (lambda: read_pitch("Cb-1"), "no pitch Cb-1"),
        (lambda: read_meter("3"), "--meter 3"),
    ],
)
def test_other_forms_are_refused_in_the_words_of_the_option(call, said):
    with pytest.raises(UsageError, match=said) as caught:
        call()
    assert caught.value.hint

import json

import pytest

from aurl.training.plateau import Plateau


def shares(plateau: Plateau, validations: str) -> list[float]:
    """What is left of the rate after each; `+` better than all before, `-` not, `0` not to be counted."""
    found = []
    for sign in validations:
        before = plateau.share
        lowered = plateau.observe(improved=sign == "+", counts=sign != "0")
        assert lowered == (plateau.share < before)
        found.append(plateau.share)
    return found


@pytest.mark.parametrize(
    ("validations", "expected"),
    [
        ("+--+--", [1, 1, 0.5, 0.5, 0.5, 0.25]),
        ("------", [1, 0.5, 0.5, 0.25, 0.25, 0.125]),
        ("-+-+-+", [1, 1, 1, 1, 1, 1]),
        ("00-0-0", [1, 1, 1, 1, 0.5, 0.5]),
    ],
)
def test_after_two_in_vain_the_rate_is_halved(validations, expected):
    assert shares(Plateau(factor=0.5, patience=2), validations) == expected


def test_a_factor_of_one_is_off():
    assert shares(Plateau(factor=1.0, patience=1), "-----") == [1.0] * 5


@pytest.mark.parametrize("split", range(7))
def test_it_goes_on_where_it_was(split):
    validations = "+--+---"
    whole = shares(Plateau(factor=0.3, patience=2), validations)
    first, second = Plateau(factor=0.3, patience=2), Plateau(factor=0.3, patience=2)
    begun = shares(first, validations[:split])
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert begun + shares(second, validations[split:]) == whole

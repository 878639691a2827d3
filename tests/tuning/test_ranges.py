import math

import pytest

from aurl.errors import UsageError
from aurl.tuning.ranges import Choices, Range, parse_search


@pytest.mark.parametrize(
    ("text", "is_fraction", "expected"),
    [
        ("0:0.3", True, Range(0.0, 0.3, False, False, None)),
        ("0:1", True, Range(0.0, 1.0, False, False, None)),
        ("2:8", False, Range(2, 8, True, False, None)),
        ("0.5:8", False, Range(0.5, 8.0, False, False, None)),
        ("log:1e-4:1e-2", True, Range(1e-4, 1e-2, False, True, None)),
        ("log:16:256:5", False, Range(16, 256, True, True, 5)),
        ("-1:+1.5e0", True, Range(-1.0, 1.5, False, False, None)),
        ("gaussian|mixture", False, Choices(("gaussian", "mixture"))),
        ("64|128", False, Choices((64, 128))),
        ("true | false", False, Choices((True, False))),
        ('["full"]|["full", "sliding_window"]', False, Choices((["full"], ["full", "sliding_window"]))),
        ('{kind = "adamw"}|{kind = "muon"}', False, Choices(({"kind": "adamw"}, {"kind": "muon"}))),
        ([1, 2, 4], False, Choices((1, 2, 4))),
    ],
)
def test_what_a_text_means(text, is_fraction, expected):
    assert parse_search(text, is_fraction=is_fraction) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("2:1", "not below"),
        ("1:1", "not below"),
        ("log:0:1", "only above 0"),
        ("0:1:1", "fewer than two"),
        ("cosine", "no choice"),
        ([], "no choice"),
        ("a|a", "twice"),
        (3, "neither"),
    ],
)
def test_what_says_nothing_is_refused(given, said):
    with pytest.raises(UsageError, match=said):
        parse_search(given, is_fraction=True)


def test_points_of_a_grid():
    assert parse_search("2:5", is_fraction=False).grid() == (2, 3, 4, 5)
    assert parse_search("0:1:3", is_fraction=True).grid() == (0.0, 0.5, 1.0)
    assert parse_search("log:16:256:5", is_fraction=False).grid() == (16, 32, 64, 128, 256)
    rates = parse_search("log:1e-4:1e-2:3", is_fraction=True).grid()
    assert rates[0] == pytest.approx(1e-4)
    assert math.log10(rates[1]) == pytest.approx(-3)
    assert rates[2] == 1e-2
    assert parse_search("1:3:9", is_fraction=False).grid() == (1, 2, 3)
    assert parse_search("a|b", is_fraction=False).grid() == ("a", "b")


@pytest.mark.parametrize("text", ["0:1", "log:1e-4:1", "0:1000", "log:1:8"])
def test_ranges_without_a_number_of_points(text):
    assert parse_search(text, is_fraction=text == "0:1").grid() == ()

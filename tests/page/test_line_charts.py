import math
import re
from xml.etree import ElementTree as ET

import pytest

from aurl import page
from aurl.page import Line, Mark, Point
from aurl.page.line_charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, short, ticks

HOSTILE = '<script>alert(1)</script>"&'


def line(name, values, colour=0):
    return Line(name, [Point(float(x), y, y, y) for x, y in values], colour)


def drawn(figure):
    """Of each curve: the values that its points stand for, told by the box that the picture says it shows."""
    svg = ET.fromstring(figure).find("svg")
    x0, x1, y0, y1, left, right, top, low = map(float, svg.get("data-box").split())
    found = []
    for curve in svg.iter("polyline"):
        places = [tuple(map(float, place.split(","))) for place in curve.get("points").split()]
        found.append(
            [
                (x0 + (x - left) / (right - left) * (x1 - x0), y0 + (low - y) / (low - top) * (y1 - y0))
                for x, y in places
            ]
        )
    return found


def test_points_stand_where_their_values_are():
    values = [(step, math.cos(step / 30)) for step in range(0, 300, 7)]
    (found,) = drawn(page.curves([line("a", values)]))
    for (x, y), (expected_x, expected_y) in zip(found, values, strict=True):
        assert x == pytest.approx(expected_x, abs=0.05)
        assert y == pytest.approx(expected_y, abs=1e-4)


def test_all_of_it_is_inside():
    figure = page.curves([line("a", [(0, -5.0), (10, 1e3)]), line("b", [(3, 7.0), (12, -80.0)])])
    for curve in ET.fromstring(figure).iter("polyline"):
        for place in curve.get("points").split():
            x, y = map(float, place.split(","))
            assert LEFT <= x <= WIDTH - RIGHT
            assert TOP <= y <= HEIGHT - BOTTOM


def test_the_legend_has_each_name_with_its_newest_value():
    figure = ET.fromstring(page.curves([line("train/x", [(1, 2.0), (2, 0.51236)]), line("valid/x", [(2, 12345.6)], 1)]))
    entries = [("".join(entry.itertext()), entry.get("class")) for entry in figure.iter("span")]
    assert entries == [("train/x 0.5124", "c0"), ("valid/x 12,346", "c1")]
    assert [curve.get("class") for curve in figure.iter("polyline")] == ["c0", "c1"]


def test_a_band_shows_how_far_values_went():
    points = [Point(1.0, 2.0, 1.0, 3.0), Point(2.0, 2.0, 2.0, 2.0)]
    figure = ET.fromstring(page.curves([Line("a", points), line("b", [(1, 0.0), (2, 4.0)])]))
    (band,) = figure.iter("polygon")
    heights = [float(place.split(",")[1]) for place in band.get("points").split()]
    assert len(heights) == 4
    assert heights[0] < heights[1] == pytest.approx(heights[2], abs=0.1)
    assert heights[3] > heights[2]


def test_few_points_are_dots_too():
    assert len(list(ET.fromstring(page.curves([line("a", [(5, 1.0)])])).iter("circle"))) == 1
    many = page.curves([line("a", [(x, float(x)) for x in range(100)])])
    assert list(ET.fromstring(many).iter("circle")) == []


def test_a_towering_value_does_not_flatten_the_rest():
    usual = [(x, 1.0 + x % 10 / 10) for x in range(100)]
    (found,) = drawn(page.curves([line("a", [*usual, (100, 1e6)])]))
    assert found[-1][1] < 3
    assert found[55][1] == pytest.approx(1.5, abs=0.01)
    (whole,) = drawn(page.curves([line("a", [(0, 1.0), (1, 2.0), (2, 1e6)])]))
    assert whole[-1][1] == pytest.approx(1e6, rel=1e-3), "of a few values all are shown"


def test_marks_that_are_in_sight_are_lines_with_words():
    marks = [Mark(5, HOSTILE, bad=True), Mark(6, "saved"), Mark(99, "later")]
    figure = ET.fromstring(page.curves([line("a", [(0, 1.0), (10, 2.0)])], marks=marks))
    found = [one for one in figure.iter("line") if (one.get("class") or "").startswith("mark")]
    assert [(one.get("class"), one.find("title").text) for one in found] == [("mark bad", HOSTILE), ("mark", "saved")]
    middle = (LEFT + WIDTH - RIGHT) / 2
    assert float(found[0].get("x1")) == pytest.approx(middle, abs=0.1)


def test_charts_can_show_the_same_span():
    figure = page.curves([line("a", [(4, 1.0), (6, 2.0)])], span=(0, 10))
    assert ET.fromstring(figure).find("svg").get("data-box").split()[:2] == ["0", "10"]


def test_hostile_names_are_only_text():
    figure = page.curves([line(HOSTILE, [(0, 1.0)])], title=HOSTILE)
    assert "<script" not in figure
    assert HOSTILE in "".join(ET.fromstring(figure).itertext())


def test_nothing_is_drawn_of_nothing():
    assert page.curves([]) == page.curves([Line("a", [])]) == ""


@pytest.mark.parametrize(
    "values", [[(1, 0.0)], [(1, 3.0), (2, 3.0)], [(1, 1e-12), (2, -1e-12)], [(0, 1e30), (1, 2e30)]]
)
def test_flat_tiny_and_huge_curves(values):
    figure = page.curves([line("a", values)])
    ET.fromstring(figure)
    assert "nan" not in figure
    assert "inf" not in figure


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 10, ["0", "2", "4", "6", "8", "10"]),
        (0.97, 2.03, ["1.0", "1.2", "1.4", "1.6", "1.8", "2.0"]),
        (-1.1, 1.1, ["-1.0", "-0.5", "0", "0.5", "1.0"]),
        (0, 61_998, ["0", "20,000", "40,000", "60,000"]),
        (0, 4e-7, ["0", "1e-07", "2e-07", "3e-07", "4e-07"]),
        (3, 3, []),
        (0, math.inf, []),
    ],
)
def test_ticks_are_round(low, high, labels):
    assert [label for _, label in ticks(low, high, 4)] == labels


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3.0, "3"),
        (0.00061234, "0.0006123"),
        (12345.6, "12,346"),
        (-2.5, "-2.5"),
        (1e-9, "1e-09"),
        (99.999, "100"),
    ],
)
def test_numbers_have_four_digits(value, text):
    assert short(value) == text


def test_the_script_finds_what_the_picture_has():
    """What it reads is there: the box, the points, and a place for the value of each curve."""
    figure = page.curves([line("a", [(0, 1.0), (1, 2.0)])])
    assert "svg.dataset.box" in page.SCRIPT
    assert "line.dataset.line" in page.SCRIPT
    root = ET.fromstring(figure)
    assert root.get("class") == "curves"
    assert root.find("svg").get("data-box")
    assert {one.get("data-line") for one in root.iter("polyline")} == {one.get("data-line") for one in root.iter("b")}


def test_styles_and_scripts_are_part_of_the_page():
    content = page.page("x", [], style=page.STYLE, script=page.SCRIPT)
    assert page.STYLE in content
    assert f"<script>{page.SCRIPT}</script>" in content
    assert not re.search(r"https?://(?!www\.w3\.org)|src=|url\(|@import|import\(|fetch\(", content)

import re
from xml.etree import ElementTree as ET

from tests.support.pages import Tags

from aurl import page
from aurl.page import Section
from aurl.page.bar_charts import MAX_LABELS

HOSTILE = '<script>alert(1)</script>\u202e"&\x1b[2J'


def test_a_page_is_whole_and_takes_nothing_from_elsewhere():
    chart = page.bars("Pitch", {"C4": 3, "D4": 1})
    content = page.page("Music", [Section("One", chart, "said below"), Section("Two", page.cards({"a": 1}))])
    tags = Tags(content)
    assert tags.open == []
    assert content.startswith("<!DOCTYPE html>")
    assert [word for word in tags.words if word in {"One", "Two", "said below"}] == ["One", "said below", "Two"]
    assert not {tag for tag, _ in tags.seen} & {"script", "link", "img", "iframe"}
    assert not re.search(r"https?://|src=|url\(", content)


def test_hostile_text_is_only_text():
    facts = {HOSTILE: HOSTILE}
    parts = [
        page.table((HOSTILE,), [(HOSTILE,), ([HOSTILE, HOSTILE],)]),
        page.cards(facts),
        page.bars(HOSTILE, {HOSTILE: 1}),
    ]
    content = page.page(HOSTILE, [Section(HOSTILE, part, HOSTILE) for part in parts], subtitle=HOSTILE)
    assert "script" not in {tag for tag, _ in Tags(content).seen}
    assert "\x1b" not in content
    assert "\u202e" not in content
    assert "".join(Tags(page.text(HOSTILE)).words) == '<script>alert(1)</script>\\u202e"&\\x1b[2J'


def test_bars_stand_in_proportion():
    figure = ET.fromstring(page.bars("x", {"a": 1, "b": 4, "c": 0}, unit="pieces"))
    rects = figure.findall(".//rect")
    heights = [float(rect.get("height")) for rect in rects]
    assert heights[0] / heights[1] == 0.25
    assert heights[2] == 0
    floor = {float(rect.get("y")) + float(rect.get("height")) for rect in rects}
    assert max(floor) - min(floor) < 0.02, "all stand on one line"
    assert [rect.find("title").text for rect in rects] == ["a: 1 pieces", "b: 4 pieces", "c: 0 pieces"]


def grid_figures(values):
    figure = ET.fromstring(page.bars("x", values))
    return [text.text for text in figure.iter("text") if text.get("text-anchor") == "end"]


def test_grid_lines_have_round_figures_up_to_the_largest_value():
    assert grid_figures({"a": 45}) == ["0", "20", "40", "60"]
    assert grid_figures({"a": 61_998}) == ["0", "20,000", "40,000", "60,000", "80,000"]
    assert grid_figures({"a": 3, "b": 1}) == ["0", "1", "2", "3"]
    assert grid_figures({"a": 1}) == ["0", "1"]
    assert grid_figures({"a": 0.3}) == ["0", "0.1", "0.2", "0.3"]
    assert grid_figures({"a": 0}) == ["0", "1"]


def test_labels_may_be_some_places_apart():
    figure = ET.fromstring(page.bars("x", {str(number): 1 for number in range(128)}, every=12))
    labels = [text.text for text in figure.iter("text") if text.get("text-anchor") == "middle"]
    assert labels == [str(number) for number in range(0, 128, 12)]


def test_many_bars_have_few_labels():
    figure = ET.fromstring(page.bars("x", {str(number): 1 for number in range(1000)}))
    labels = [text for text in figure.iter("text") if text.get("text-anchor") == "middle"]
    assert len(figure.findall(".//rect")) == 1000
    assert len(labels) <= MAX_LABELS


def test_a_ranking_lies_in_proportion():
    figure = ET.fromstring(page.ranking("x", {"Acoustic Grand Piano": 8, "Drums": 2}))
    widths = [float(rect.get("width")) for rect in figure.findall(".//rect")]
    assert widths[1] / widths[0] == 0.25
    assert "Acoustic Grand Piano" in [text.text for text in figure.iter("text")]


def test_a_chart_of_nothing():
    for chart in (page.bars, page.ranking):
        assert ET.fromstring(chart("x", {})).findall(".//rect") == []


def test_figures():
    assert '<td class="number">1,234,567</td>' in page.table(("n",), [(1234567,)])
    assert "<b>0.123</b>" in page.cards({"share": 0.12345})
    assert "<b>12,346</b>" in page.cards({"hours": 12345.6})

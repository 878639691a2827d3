"""The player page: what is in it, that nothing from a file gets out of its place, and that its script is JavaScript."""

import base64
import json
import re
import shutil
import subprocess

import pytest
from tests.support.pages import Tags
from tests.support.scores import score, track

from aurl.export.page import SCRIPT, STYLE, Shown, player_page, save_page
from aurl.midi.score import Score, Track
from aurl.midi.write import write_midi

TUNE = score(track((0, 32, 60, 100), (32, 16, 64, 80), program=40), track((0, 4, 36, 127), is_drum=True))


def music(content):
    [data] = re.findall(r'<script type="application/json" id="music">(.*?)</script>', content)
    return json.loads(data)


def test_notes_are_in_the_page_in_seconds():
    [piece] = music(player_page([Shown("a", TUNE)]))
    violin, kit = piece["lanes"]
    assert piece["seconds"] == 0.75
    assert (violin["family"], kit["family"]) == ("strings", "drums")
    assert (violin["start"], violin["length"]) == ([0, 0.5], [0.5, 0.25])
    assert (violin["pitch"], violin["velocity"]) == ([60, 64], [100, 80])


def test_midi_file_is_in_the_page():
    [link] = [dict(tag[1]) for tag in Tags(page_of(1)).seen if tag[0] == "a"]
    assert link["download"] == "piece 0.mid"
    assert base64.b64decode(link["href"].removeprefix("data:audio/midi;base64,")) == write_midi(TUNE)


def page_of(count):
    return player_page([Shown(f"piece {n}", TUNE, {"seed": n, "nats per token": 1.234}) for n in range(count)])


@pytest.mark.parametrize("count", [0, 1, 50])
def test_any_number_of_pieces(count):
    content = page_of(count)
    tags = Tags(content)
    assert not {"html", "body"} & set(tags.open)
    assert sum(name == "canvas" for name, _ in tags.seen) == count == len(music(content))


def test_facts_are_told():
    text = Tags(page_of(1)).text
    assert all(word in text for word in ("seed", "nats per token", "1.23", "seconds", "notes"))


def test_nothing_from_a_file_leaves_its_place():
    evil = "</script><script>alert(1)</script>\"'<!--"
    named = Score(tracks=(Track(TUNE.tracks[0].notes, name=evil),), ticks_per_beat=32)
    content = player_page([Shown(evil, named, {evil: evil})], title=evil)
    assert "<script>alert" not in content
    assert [name for name, _ in Tags(content).seen].count("script") == 2
    assert music(content)[0]["lanes"][0]["label"].startswith(evil)


def test_page_needs_no_network(tmp_path):
    save_page([Shown("a", TUNE)], tmp_path / "a.html")
    content = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|@import|url\(", content + STYLE + SCRIPT)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not there")
def test_script_parses(tmp_path):
    (tmp_path / "page.js").write_text(SCRIPT, encoding="utf-8")
    subprocess.run(["node", "--check", str(tmp_path / "page.js")], check=True, capture_output=True)

"""Results on stdout, everything else on stderr."""

import itertools
import json
import math
import os
import pty
import re
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pytest

from aurl.cli.bars import duration, lines
from aurl.cli.output import Output, plain, printable, table
from aurl.progress import Progress


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Result:
    path: Path
    counts: dict[Colour, int]
    loss: float
    array: np.ndarray
    nested: tuple["Result", ...] = ()


def test_json_is_one_object_with_a_schema_and_only_what_json_knows(capsys):
    inner = Result(Path("/b"), {}, math.nan, np.arange(2))
    Output(as_json=True).result(
        "x.y", Result(Path("/a"), {Colour.RED: 1}, math.inf, np.float32([0.5]), (inner,)), "text"
    )
    shown = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert shown == {
        "schema": "aurl.x.y/1",
        "path": "/a",
        "counts": {"red": 1},
        "loss": None,
        "array": [0.5],
        "nested": [{"path": "/b", "counts": {}, "loss": None, "array": [0, 1], "nested": []}],
    }


def test_numbers_of_numpy_become_numbers():
    assert plain({"a": np.int64(3), "b": np.float32(0.5), "c": np.bool_(True), "d": True, "e": None}) == {
        "a": 3,
        "b": 0.5,
        "c": True,
        "d": True,
        "e": None,
    }


def test_json_has_paths_as_they_are_and_nothing_that_steers_a_terminal(capsys):
    name = os.fsdecode(b"a\x1b[31m\xff\n\xe2\x80\xae.mid")
    Output(as_json=True).result("x", {"paths": [Path(name)], name: 1}, "text")
    shown = capsys.readouterr().out
    assert all(" " <= c <= "~" or c == "\n" for c in shown)
    assert json.loads(shown) == {"schema": "aurl.x/1", "paths": [name], name: 1}


@pytest.mark.parametrize("text", ["\x1b[31m", "a\rb", "\x07", "\u202e", "\udcff", "\x7f"])
def test_control_characters_are_escaped(text):
    assert printable(text).isprintable()
    assert printable(text).encode("utf-8")


def test_ordinary_text_stays_as_it_is():
    assert printable("Für Elise – 春\n\tend") == "Für Elise – 春\n\tend"


def test_table_aligns_words_on_the_left_and_numbers_on_the_right():
    assert table([("name", "count"), ("a", "1,000"), ("longer", 5)]) == "name    count\na       1,000\nlonger      5"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")])
def test_durations_in_words(seconds, text):
    assert duration(seconds) == text


class TestLines:
    def test_a_line_every_few_seconds_and_one_at_the_end(self):
        now, written = [0.0], []
        report = lines(written.append, clock=lambda: now[0])
        for done in range(101):
            now[0] = done * 0.25
            report(Progress("prepare", done, 100, "files", "2 MiB/s"))
        assert written == [
            "prepare: 20/100 files · 20 s left · 2 MiB/s",
            "prepare: 40/100 files · 15 s left · 2 MiB/s",
            "prepare: 60/100 files · 10 s left · 2 MiB/s",
            "prepare: 80/100 files · 5 s left · 2 MiB/s",
            "prepare: 100/100 files · 2 MiB/s",
        ]

    def test_a_night_is_some_hundred_lines_and_none_is_long_in_coming(self):
        now, written = [0.0], []
        report = lines(lambda line: written.append((now[0], line)), clock=lambda: now[0])
        for second in range(10 * 3600):
            now[0] = float(second)
            report(Progress("train", second, None, "steps"))
        moments = [moment for moment, _ in written]
        gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
        assert moments[:4] == [5.0, 10.0, 15.0, 20.0]
        assert len(moments) < 250
        assert all(gap <= max(5.0, 0.05 * moment + 1) for gap, moment in zip(gaps, moments[1:], strict=True))
        assert gaps[-1] == 600.0

    def test_what_was_done_before_does_not_count_for_the_time_that_is_left(self):
        now, written = [0.0], []
        report = lines(written.append, clock=lambda: now[0])
        report(Progress("train", 900, 1000, "steps"))
        now[0] = 10.0
        report(Progress("train", 910, 1000, "steps"))
        assert written == ["train: 910/1,000 steps · 1 min 30 s left"]

    def test_unknown_end(self):
        now, written = [0.0], []
        report = lines(written.append, clock=lambda: now[0])
        report(Progress("train", 0, None, "steps"))
        now[0] = 6.0
        report(Progress("train", 7, None, "steps"))
        assert written == ["train: 7 steps"]


SCRIPT = """
import logging, sys
from aurl.cli.output import Output
from aurl.progress import Progress
output = Output(progress="no-progress" not in sys.argv, quiet="quiet" in sys.argv)
with output.progress() as report:
    for done in range(4):
        report(Progress("preparing", done, 3, "files", "[red]note[/red]"))
        if done == 1:
            output.note("a note in between")
output.result("x", {}, "the result")
"""


def on_a_terminal(*args):
    """(stdout, what a terminal on stderr gets)."""
    leader, follower = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, *args], stdout=subprocess.PIPE, stderr=follower)
    os.close(follower)
    shown = b""
    try:
        while chunk := os.read(leader, 65536):
            shown += chunk
    except OSError:  # the terminal's other end is closed: EIO on Linux
        assert process.wait() == 0
    out = process.communicate()[0]
    os.close(leader)
    return out.decode(), shown.decode()


def test_bars_are_drawn_on_a_terminal_and_only_on_stderr(environment):
    environment.setenv("TERM", "xterm-256color")
    out, shown = on_a_terminal()
    assert out == "the result\n"
    assert "━" in shown
    assert "3/3" in shown
    assert "[red]note[/red]" in shown
    assert "a note in between" in shown
    assert re.search("\x1b\\[[0-9;]*3[0-9]", shown)


def test_no_color_is_respected(environment):
    environment.setenv("TERM", "xterm-256color")
    environment.setenv("NO_COLOR", "1")
    shown = on_a_terminal()[1]
    assert "━" in shown
    assert not re.search("\x1b\\[[0-9;]*3[0-9]m", shown)


@pytest.mark.parametrize("flag", ["no-progress", "quiet"])
def test_bars_can_be_turned_off(environment, flag):
    out, shown = on_a_terminal(flag)
    assert out == "the result\n"
    assert "━" not in shown
    assert ("a note" in shown) == (flag == "no-progress")


def test_without_a_terminal_there_are_lines(environment):
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert result.stdout == "the result\n"
    assert result.stderr == "a note in between\npreparing: 3/3 files · [red]note[/red]\n"

"""Groups of options: what Typer sees of them, and what the command is given."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
import typer
from typer.testing import CliRunner

from aurl.cli.command import with_output
from aurl.cli.grouped import PanelledCommand

Shared = Annotated[int, typer.Option("--shared", help="Known to other commands, too.")]


@dataclass(frozen=True, kw_only=True)
class Sound:
    """How it sounds."""

    PANEL: ClassVar = "Sound"

    loudness: Annotated[float | None, typer.Option("--loudness", help="In decibels.")] = None
    voices: Annotated[list[str] | None, typer.Option("--voice", help="Repeat it.")] = None


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where it goes."""

    PANEL: ClassVar = "Where to"

    folder: Annotated[Path | None, typer.Argument(help="A folder.")] = None
    shared: Shared = 1


@pytest.fixture
def app(environment):
    """A command of two groups and one plain option, which keeps what it is called with."""
    called = []

    def play(output, *, sound: Sound, plain: Annotated[bool, typer.Option(help="As it is.")] = False, place: Place):
        """Play it."""
        called.append((sound, plain, place))

    def other(output, *, shared: Shared = 1):
        """Another command with a shared option."""

    app = typer.Typer(rich_markup_mode=None)
    for command in (play, other):
        app.command(command.__name__, cls=PanelledCommand)(with_output(command))

    def invoke(*args):
        called.clear()
        result = CliRunner().invoke(app, [str(arg) for arg in args])
        return result, called

    return invoke


def test_groups_arrive_as_their_dataclasses(app):
    _, called = app("play", "out", "--voice", "a", "--voice", "b", "--loudness", 3, "--shared", 7, "--plain")
    assert called == [(Sound(loudness=3.0, voices=["a", "b"]), True, Place(folder=Path("out"), shared=7))]


def test_what_is_not_given_has_the_default_of_its_field(app):
    _, called = app("play")
    assert called == [(Sound(), False, Place())]


def sections(text):
    """Title → options of each section of a help text."""
    found, title = {}, ""
    for line in text.splitlines():
        if line and not line.startswith(" ") and line.endswith(":"):
            title = line[:-1]
            found[title] = []
        elif title and line.startswith("  ") and line[2] != " ":
            found[title] += [word.strip("[],") for word in line.split() if word.startswith(("--", "[FOLDER"))]
    return found


def test_help_has_a_section_for_each_panel_and_options_last(app):
    result, _ = app("play", "--help")
    shown = sections(result.output)
    assert list(shown) == ["Arguments", "Sound", "Where to", "Options"]
    assert shown["Sound"] == ["--loudness", "--voice"]
    assert shown["Where to"] == ["--shared"]
    assert {"--plain", "--no-plain", "--json", "--help"} <= set(shown["Options"])


def test_an_option_that_others_share_is_in_a_panel_of_the_group_only(app):
    result, _ = app("other", "--help")
    assert "--shared" in sections(result.output)["Options"]


def test_two_groups_cannot_have_a_field_in_common():
    def both(output, *, first: Sound, second: Sound):
        """Impossible."""

    with pytest.raises(ValueError, match="loudness"):
        with_output(both)

"""Options are spelt as a user would type them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from aurl.cli.given import given_options


@dataclass(frozen=True)
class Group:
    PANEL: ClassVar[str] = "Things"
    top_k: Annotated[int | None, typer.Option("--top-k")] = None
    constraint: Annotated[list[str] | None, typer.Option("--constraint", "-c")] = None


def command(
    output: str,
    *,
    between: Annotated[tuple[str, str] | None, typer.Option("--between")] = None,
    force: Annotated[bool, typer.Option("--force")] = False,
    shift: Annotated[float, typer.Option("-s", "--shift")] = 0.0,
    group: Group,
) -> None:
    """A command with options of every kind."""


def test_options_that_differ_from_their_defaults():
    values = {
        "between": ("a b.mid", "c.mid"),
        "force": True,
        "shift": -1.5,
        "top_k": 5,
        "constraint": ["range", "scale"],
    }
    words = ["--between", "a b.mid", "c.mid", "--force", "--shift=-1.5", "--top-k", "5"]
    words += ["--constraint", "range", "--constraint", "scale"]
    assert given_options(command, values, without=()) == words


def test_defaults_and_what_is_left_out_are_not_told():
    values = {"force": False, "shift": 0.0, "top_k": 5}
    assert given_options(command, values, without=("top_k",)) == []

"""The options of a command as words, so that the same can be asked again."""

from collections.abc import Callable, Collection, Mapping
from inspect import Parameter, signature
from typing import Any, get_args

from typer.models import ParameterInfo

from aurl.cli.grouped import flattened


def given_options(command: Callable[..., Any], values: Mapping[str, Any], *, without: Collection[str]) -> list[str]:
    """The options of `command` whose values differ from their defaults, as a user would type them.

    Args:
        command: a command, whose parameters may be groups of options.
        values: name of a parameter → what was given.
        without: names of parameters that are left out.
    """
    words: list[str] = []
    for parameter in flattened(signature(command, eval_str=True).parameters.values()):
        option = _option(parameter)
        value = values.get(parameter.name, parameter.default)
        if option and parameter.name not in without and value != parameter.default:
            words += _spelt(option, value)
    return words


def _option(parameter: Parameter) -> str | None:
    """The long name of a parameter's option; None of what is no option."""
    marks = [mark for mark in get_args(parameter.annotation)[1:] if isinstance(mark, ParameterInfo)]
    # Inside `Annotated` Typer takes the first name for a default until it reads the command.
    declared = (name for mark in marks for name in (mark.default, *(mark.param_decls or ())))
    names = [name for name in declared if isinstance(name, str) and name.startswith("--")]
    return names[0].split("/")[0] if names else None


def _spelt(option: str, value: Any) -> list[str]:
    """A flag alone, a list as an option given several times, a tuple as one of several values."""
    if isinstance(value, bool):
        return [option]
    if isinstance(value, list):
        return [word for one in value for word in _spelt(option, one)]
    words = [str(part) for part in (value if isinstance(value, tuple) else (value,))]
    return [f"{option}={words[0]}"] if len(words) == 1 and words[0].startswith("-") else [option, *words]

"""Commands with many options: dataclasses of Typer options, each a panel of the command's help."""

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import fields, is_dataclass
from inspect import Parameter
from typing import Annotated, Any, get_args, get_type_hints

from typer.core import TyperCommand
from typer.models import ParameterInfo

PANEL = "PANEL"
"""Class variable of a group that names its panel."""


def flattened(parameters: Iterable[Parameter]) -> list[Parameter]:
    """The parameters as Typer sees them: in place of one whose type is a dataclass, the fields of that dataclass.

    The type of a field is `Annotated` with its Typer option; fields of different groups have different names.
    """
    return [flat for parameter in parameters for flat in _flat(parameter)]


def gathered(parameters: Iterable[Parameter], options: Mapping[str, Any]) -> dict[str, Any]:
    """What the command is called with, where Typer has found `options`."""
    return {parameter.name: _gather(parameter, options) for parameter in parameters}


class PanelledCommand(TyperCommand):
    """A command whose help shows each panel as a section of its own; what is in none comes last.

    Typer does so with Rich only, whose import takes as long as all the rest of a command's help.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of the help."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_option = parameter.param_type_name == "option"
                panel = getattr(parameter, "rich_help_panel", None) or "Options"
                sections.setdefault(panel if is_option else "Arguments", []).append(record)
        for title in sorted(sections, key=lambda title: (title != "Arguments", title == "Options")):
            with formatter.section(title):
                formatter.write_dl(sections[title])


def _flat(parameter: Parameter) -> list[Parameter]:
    group = parameter.annotation
    if not _is_group(group):
        return [parameter]
    hints = get_type_hints(group, include_extras=True)
    panel = getattr(group, PANEL)
    return [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=_in_panel(hints[field.name], panel),
        )
        for field in fields(group)
    ]


def _gather(parameter: Parameter, options: Mapping[str, Any]) -> Any:
    group = parameter.annotation
    if not _is_group(group):
        return options[parameter.name]
    return group(**{field.name: options[field.name] for field in fields(group)})


def _is_group(annotation: Any) -> bool:
    return isinstance(annotation, type) and is_dataclass(annotation)


def _in_panel(annotation: Any, panel: str) -> Any:
    """The annotation, its Typer option in that panel; others may have the same option elsewhere."""
    kind, *marks = get_args(annotation)
    copies = [copy(mark) for mark in marks]
    for mark in copies:
        if isinstance(mark, ParameterInfo):
            mark.rich_help_panel = panel
    return Annotated[(kind, *copies)]

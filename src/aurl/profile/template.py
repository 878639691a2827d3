"""All keys of a profile with their types, defaults and meanings, as data and as a TOML file to start from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

from aurl.profile.components import marker_of
from aurl.profile.load import Profile, section_types
from aurl.profile.sections import NONE_WORD
from aurl.profile.toml import format_value
from aurl.registry import find_registry

_BOUNDS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}
_TYPES = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "string": "text",
    "object": "table",
}


@dataclass(frozen=True, slots=True)
class KeyDescription:
    """One key of a profile.

    Args:
        key: dotted.
        type: in words, with bounds or choices.
        default: as TOML.
        description: what it means, one sentence.
        registry: whose kinds it takes, "" where it takes none.
    """

    key: str
    type: str
    default: str
    description: str
    registry: str = ""


def describe_keys() -> list[KeyDescription]:
    """Every key, in the order of the sections."""
    defaults = Profile().values()
    found = []
    for table, section in section_types().items():
        for name, schema in section.model_json_schema()["properties"].items():
            mark = marker_of(section, name)
            key = f"{table}.{name}"
            words = _in_words(schema)
            found.append(
                KeyDescription(
                    key, words, format_value(defaults[key]), schema["description"], mark.registry if mark else ""
                )
            )
    return found


def _in_words(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(format_value(NONE_WORD) if s["type"] == "null" else _in_words(s) for s in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " | ".join(format_value(choice) for choice in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "array":
        items = schema.get("prefixItems") or [schema.get("items", {})]
        return f"array of {' and '.join(_in_words(item) for item in items if item)}"
    bounds = [text.format(schema[bound]) for bound, text in _BOUNDS.items() if bound in schema]
    return ", ".join([_TYPES[schema["type"]], *bounds])


@dataclass(frozen=True, slots=True)
class KindDescription:
    """One kind of a registry: its name, its factory's first line, and its options as TOML."""

    kind: str
    summary: str
    options: str


def describe_kinds(registry_name: str) -> list[KindDescription]:
    """Every kind of a registry, with the defaults of its options; this imports the module that holds it."""
    registry = find_registry(registry_name)
    return [
        KindDescription(
            kind,
            registry.summary(kind),
            ", ".join(
                option.name if option.default is Parameter.empty else f"{option.name} = {format_value(option.default)}"
                for option in registry.options(kind)
            ),
        )
        for kind in registry.kinds()
    ]


def template() -> str:
    """A profile file with every key commented out, so that only what a person uncomments is set."""
    lines = [
        "# A profile of aurl. Each key is shown with its default; uncomment what you want to change.",
        '# extends = "small"',
        '# description = "What this profile is for."',
    ]
    table = ""
    for key in describe_keys():
        section, _, name = key.key.partition(".")
        if section != table:
            table = section
            lines += ["", f"[{section}]"]
        lines += [f"# {key.description} ({key.type})", *_kind_lines(key), f"# {name} = {key.default}"]
    return "\n".join(lines) + "\n"


def _kind_lines(key: KeyDescription) -> Iterator[str]:
    for kind in describe_kinds(key.registry) if key.registry else ():
        options = f"; options: {kind.options}" if kind.options else ""
        yield f"#   kind {format_value(kind.kind)}: {kind.summary.rstrip('.')}{options}"

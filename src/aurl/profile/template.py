"""All keys of a profile with their types, defaults and meanings, as data and as a TOML file to start from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

from aurl.profile.components import marker_of
from aurl.profile.load import Profile, section_types
from aurl.profile.sections import NONE_WORD, Section
from aurl.profile.stages import STAGES, Stage
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
STAGE = """# Stages of the training, one after another, each this profile with something else laid over it.
#   [[stages]]
#   name = "pretrain"
#   share = 0.7
#   set = { "training.lr" = 1e-3, "data.seq_len" = 256 }"""


@dataclass(frozen=True, slots=True)
class KeyDescription:
    """One key of a profile.

    Args:
        key: dotted.
        type: in words, with bounds or choices.
        default: as TOML; "" where the key is required.
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
    return [key for table, section in section_types().items() for key in _describe(table, section, defaults)]


def describe_stage_keys() -> list[KeyDescription]:
    """The keys of each of the `[[stages]]`."""
    return list(_describe(STAGES, Stage, dict.fromkeys((f"{STAGES}.share", f"{STAGES}.steps")) | {f"{STAGES}.set": {}}))


def _describe(table: str, section: type[Section], defaults: Mapping[str, Any]) -> Iterator[KeyDescription]:
    """Keys of a table; one without default has none to tell."""
    for name, schema in section.model_json_schema()["properties"].items():
        mark, key = marker_of(section, name), f"{table}.{name}"
        default = format_value(defaults[key]) if key in defaults else ""
        yield KeyDescription(key, _in_words(schema), default, schema["description"], mark.registry if mark else "")


def _in_words(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(
            format_value(NONE_WORD) if s.get("type") == "null" else _in_words(s) for s in schema["anyOf"]
        )
    if "$ref" in schema:
        return _TYPES["object"]
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
    lines += [
        "",
        "# Stages of the training, one after another, each this profile with something else laid over it.",
        STAGE,
    ]
    return "\n".join(lines) + "\n"


def _kind_lines(key: KeyDescription) -> Iterator[str]:
    for kind in describe_kinds(key.registry) if key.registry else ():
        options = f"; options: {kind.options}" if kind.options else ""
        yield f"#   kind {format_value(kind.kind)}: {kind.summary.rstrip('.')}{options}"

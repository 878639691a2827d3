"""Values as TOML text."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import tomli

from aurl.profile.sections import NONE_WORD

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPED = re.compile(r'[\x00-\x1f\x7f"\\]')


def format_string(value: str) -> str:
    """A TOML basic string."""
    return '"' + _ESCAPED.sub(lambda match: f"\\u{ord(match.group()):04x}", value) + '"'


def format_key(key: str) -> str:
    """One part of a dotted key, quoted where it has to be."""
    return key if _BARE_KEY.fullmatch(key) else format_string(key)


def format_value(value: Any) -> str:
    """`value` on one line; None becomes "none".

    Raises:
        TypeError: TOML has no such type.
    """
    match value:
        case None:
            return format_string(NONE_WORD)
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            return format_string(value)
        case Mapping():
            inside = ", ".join(f"{format_key(key)} = {format_value(item)}" for key, item in value.items())
            return f"{{ {inside} }}" if inside else "{}"
        case Sequence():
            return f"[{', '.join(format_value(item) for item in value)}]"
    raise TypeError(f"TOML has no {type(value).__name__}")


def parse_value(text: str) -> Any:
    """`text` as a TOML value, or as it stands where it is none: `0.1`, `true`, `[1, 2]`, `cosine`."""
    try:
        table = tomli.loads(f"value = {text}")
    except tomli.TOMLDecodeError:
        return text
    return table["value"] if table.keys() == {"value"} else text

"""Patterns such as `{composer}/{genre}/*` → labels, told from the end of a path."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aurl.data.splits import SPLIT_NAMES
from aurl.errors import UsageError

SPLIT = "split"
SPLIT_WORDS: dict[str, str] = dict(zip(SPLIT_NAMES, SPLIT_NAMES, strict=True)) | {
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
}
"""What the splits are called elsewhere."""
MAX_CHARACTERS = 1000
"""Of a label."""
_PARTS = re.compile(r"\{([^{}]*)\}|(\*)|([^{}*]+)|([{}])")
_ANY_COMPONENT, _ANY_COMPONENTS = "*", "**"
_NEXT_STEP = 'write patterns like "{composer}/{genre}/*" or "{composer} - {title}.mid"'


def cleaned(text: str) -> str:
    """A label as one line that is safe to show: no control characters, single spaces."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())[:MAX_CHARACTERS]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern, ready to be matched.

    Args:
        expression: matches the last components of a path, or, where `**` is among them, from some component on.
        components: how many components it matches; 0: any number.
    """

    expression: re.Pattern[str]
    components: int

    def labels(self, path: str) -> dict[str, str]:
        """What the pattern tells of a path with forward slashes; nothing where it does not match."""
        if not self.components:
            found = self.expression.search(path)
        else:
            parts = path.rsplit("/", self.components)
            found = self.expression.fullmatch("/".join(parts[-self.components :]))
            if len(parts) < self.components:
                return {}
        return {name: SPLIT_WORDS[text] if name == SPLIT else text for name, text in _values(found)}


def _values(found: re.Match[str] | None) -> list[tuple[str, str]]:
    values = [(name, cleaned(text)) for name, text in found.groupdict().items()] if found else []
    return [(name, text) for name, text in values if text]


def compiled(patterns: Sequence[str]) -> tuple[Pattern, ...]:
    """The patterns, ready to be matched.

    Raises:
        UsageError: one of them is no pattern.
    """
    return tuple(_compiled(text) for text in patterns)


def _compiled(text: str) -> Pattern:
    components = text.strip("/").split("/")
    names: list[str] = []
    found = [_component(text, one, names, is_last=one is components[-1]) for one in components]
    if not names:
        raise UsageError(f"the pattern {text!r} names no label", hint=_NEXT_STEP)
    if len(set(names)) < len(names):
        raise UsageError(f"the pattern {text!r} names a label twice", hint=_NEXT_STEP)
    if _ANY_COMPONENTS in components:
        return Pattern(re.compile(rf"(?:^|/){''.join(found)}\Z"), 0)
    return Pattern(re.compile("".join(found)), len(components))


def _component(pattern: str, component: str, names: list[str], *, is_last: bool) -> str:
    """Regular expression of one component and the slash after it; the labels in it join `names`."""
    if component == _ANY_COMPONENTS:
        return r"(?:[^/]+/)*[^/]+" if is_last else r"(?:[^/]+/)*"
    if component == _ANY_COMPONENT:
        return "[^/]+" if is_last else "[^/]+/"
    if not component:
        raise UsageError(f"the pattern {pattern!r} has an empty component", hint=_NEXT_STEP)
    found, after_name = "", False
    for name, star, literal, stray in _PARTS.findall(component):
        if stray or (not star and not literal and not name.isidentifier()) or (after_name and not literal):
            raise UsageError(f"the pattern {pattern!r} cannot be understood at {component!r}", hint=_NEXT_STEP)
        after_name = bool(star or name)
        if name:
            names.append(name.lower())
            text = "|".join(SPLIT_WORDS) if name.lower() == SPLIT else r"[^/]+?"
            found += rf"(?P<{name.lower()}>{text})"
        else:
            found += r"[^/]*" if star else re.escape(literal)
    return found if is_last else found + "/"

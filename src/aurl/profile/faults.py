"""What is wrong with a profile, all of it at once, each with where it was written and what was probably meant."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aurl.errors import UsageError, did_you_mean

MAX_SHOWN_VALUE = 60
_WORDS = {
    "dict": 'a table, as in { kind = "…" }',
    "model": "a table, as in { key = … }",
    "tuple": "an array, as in [ … ]",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
}
"""What TOML calls the types that pydantic names, by the first word of its error types."""
_OPTIONS = "a table of its options, as in { option = … }"
_OTHER_TYPE = ("_type", "_parsing", "_from_float")
"""How its error types end that say no more than that."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    Args:
        key: dotted key, "" for a whole file.
        message: what is wrong with it.
        origin: the file, variable or option that says so.
        suggestion: the known key that was probably meant, as a question.
    """

    key: str
    message: str
    origin: str = ""
    suggestion: str = ""

    def __str__(self) -> str:
        where = f" ({self.origin})" if self.origin else ""
        meant = f"; {self.suggestion}" if self.suggestion else ""
        return f"{self.key}: {self.message}{where}{meant}" if self.key else f"{self.message}{where}{meant}"


class ProfileError(UsageError):
    """A profile that cannot be used.

    Args:
        faults: all of them, at least one.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        lines = [str(fault) for fault in faults]
        message = lines[0] if len(lines) == 1 else f"{len(lines)} faults in the profile:\n  " + "\n  ".join(lines)
        super().__init__(message, hint="see all keys with: aurl profile new -")


def nearest_key(key: str, known: Collection[str]) -> str:
    """The known dotted key that `key` probably means, as a question: same name elsewhere, or nearly the same name."""
    section, _, name = key.rpartition(".")
    same_name = [other for other in known if other.rpartition(".")[2] == name]
    if same_name:
        return f"did you mean {' or '.join(same_name)}?"
    neighbours = {other.rpartition(".")[2]: other for other in known if other.rpartition(".")[0] == section}
    near = difflib.get_close_matches(name, neighbours, n=1)
    return f"did you mean {neighbours[near[0]]}?" if near else did_you_mean(key, known)


def describe_fault(error: Mapping[str, Any]) -> str:
    """A pydantic error as a clause that follows "KEY:"."""
    if error["type"] == "extra_forbidden":
        return "unknown key"
    if error["type"] == "missing":
        return "is required"
    message: str = error["msg"].removeprefix("Input ").removeprefix("Value error, ")
    wanted = _WORDS.get(error["type"].partition("_")[0])
    if wanted and error["type"].endswith(_OTHER_TYPE):
        of_a_kind = error["type"] == "dict_type" and len(error["loc"]) > 1 and isinstance(error["loc"][-1], str)
        message = f"should be {_OPTIONS if of_a_kind else wanted}"
    shown = repr(error["input"])
    if isinstance(error["input"], dict) or not message.startswith("should"):
        return message
    return f"{message}, not {shown if len(shown) <= MAX_SHOWN_VALUE else shown[:MAX_SHOWN_VALUE] + '…'}"

"""What is written behind the options of `aurl generate` → what a request asks."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from aurl.errors import UsageError

PITCH_CLASSES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
ACCIDENTALS = {"": 0, "#": 1, "b": -1}
MIDDLE_C_OCTAVE = 4
MAX_PITCH = 127


def split_values(text: str, main: str, option: str) -> dict[str, str]:
    """A kind's main option and what follows: "8,times=1" → {main: "8", "times": "1"}.

    Raises:
        UsageError: it has another form.
    """
    first, *rest = (part.strip() for part in text.split(","))
    if not first or "=" in first:
        raise UsageError(f"{option} {text} has no value", hint=f"give it first, as in {option} VALUE,OPTION=VALUE")
    return {main: first, **read_pairs(rest, option)}


def read_pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """What several options say together: ["a=1", "b=2,c=3"] → {"a": "1", "b": "2", "c": "3"}.

    Raises:
        UsageError: one has another form, or a name is given twice.
    """
    pairs: dict[str, str] = {}
    for part in (part for text in texts for part in text.split(",")):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not (name and equals and value):
            raise UsageError(f"{option} {part!r} is no NAME=VALUE", hint=f"write it like this: {option} NAME=VALUE")
        if name in pairs:
            raise UsageError(f"{option} says twice what {name} is", hint="say it once")
        pairs[name] = value
    return pairs


def read_numbers(pairs: Mapping[str, str], option: str) -> dict[str, float]:
    """The pairs with their values as numbers.

    Raises:
        UsageError: one is none.
    """
    return {name: _number(value, f"{option} {name}={value}") for name, value in pairs.items()}


def read_range(text: str) -> dict[str, Any]:
    """The options of constraint `range`: "48:84", "C3:C6", "48:" or ":C6".

    Raises:
        UsageError: it has another form, or one of the two is no pitch.
    """
    lowest, colon, highest = (part.strip() for part in text.partition(":"))
    if not colon or not (lowest or highest):
        raise UsageError(f"--range {text} is no LOW:HIGH", hint="give the lowest and the highest pitch: --range 48:84")
    named = {"lowest": lowest, "highest": highest}
    return {name: read_pitch(value) for name, value in named.items() if value}


def read_pitch(text: str) -> int:
    """A MIDI number, or a note's name with its octave: C4 is 60.

    Raises:
        UsageError: it is neither.
    """
    found = re.fullmatch(r"([a-gA-G])([#b]?)(-?\d)", text)
    pitch = int(text) if re.fullmatch(r"\d{1,3}", text) else -1
    if found:
        octave = int(found[3]) + 5 - MIDDLE_C_OCTAVE
        pitch = 12 * octave + PITCH_CLASSES[found[1].lower()] + ACCIDENTALS[found[2]]
    if not 0 <= pitch <= MAX_PITCH:
        raise UsageError(
            f"there is no pitch {text}", hint="give a MIDI number from 0 to 127, or a name such as C4 or F#3"
        )
    return pitch


def read_meter(text: str) -> tuple[int, int]:
    """A meter: "3/4" → (3, 4).

    Raises:
        UsageError: it has another form.
    """
    found = re.fullmatch(r"\s*(\d{1,3})\s*/\s*(\d{1,3})\s*", text)
    if not found:
        raise UsageError(f"--meter {text} is no meter", hint="write it like this: --meter 3/4")
    return int(found[1]), int(found[2])


def _number(text: str, shown: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{shown} is no number", hint="write it like this: 1.5") from None

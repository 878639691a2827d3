"""What a request cannot ask: numbers out of range, and wishes of which one says what another denies."""

import math
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from aurl.errors import UsageError
from aurl.tokens.vocabulary import Fact

if TYPE_CHECKING:
    from aurl.generation.request import Request

MAX_SEED = 2**63 - 1
ASKABLE: dict[Fact, tuple[float, float, str]] = {
    "density": (math.nextafter(0.0, 1.0), sys.float_info.max, "notes per beat, a number above 0"),
    "polyphony": (1.0, sys.float_info.max, "notes at once, a number from 1"),
    "register": (0.0, 127.0, "a mean pitch from 0 to 127"),
    "dynamics": (0.0, 5.0, "a mean loudness from 0 to 5"),
}
"""Fact → the least and the most of it that can be asked, and what it is."""


class Fault(NamedTuple):
    """One thing that cannot be.

    Args:
        is_there: whether the request asks that.
        message: what is wrong.
        hint: what to do instead.
    """

    is_there: bool
    message: str
    hint: str


def check(request: "Request") -> None:
    """Refuse what makes no sense with any model; texts name the options of `aurl generate`.

    Raises:
        UsageError: the first fault.
    """
    for faults in (_numbers, _songs, _form, _wishes, _latents, _choosing):
        for fault in faults(request):
            if fault.is_there:
                raise UsageError(fault.message, hint=fault.hint)


def _numbers(request: "Request") -> Iterator[Fault]:
    last = MAX_SEED - request.count
    yield Fault(request.count < 1, f"{request.count} pieces are nothing to make", "give 1 or more: --count 1")
    yield Fault(
        not 0 <= request.seed <= last,
        f"--seed {request.seed} is out of range",
        f"give a whole number from 0 to {last}",
    )
    yield Fault(
        request.seconds is not None and request.bars is not None,
        "a piece cannot have a length in --seconds and one in --bars",
        "give one of them",
    )


def _songs(request: "Request") -> Iterator[Fault]:
    yield Fault(
        request.prompt_seconds is not None and request.prompt is None,
        "--prompt-seconds of no song",
        "name the song to continue: --prompt song.mid",
    )
    yield Fault(
        request.infill is not None and request.prompt is None,
        f"--infill {request.infill} of no song",
        f"name the song: --prompt song.mid --infill {request.infill}",
    )
    lengths = {
        "--seconds": request.seconds,
        "--bars": request.bars,
        "--prompt-seconds": request.prompt_seconds,
        "--mend": request.mend or None,
        "--like": request.like,
    }
    length = _first(lengths)
    yield Fault(
        request.infill is not None and bool(length),
        f"--infill {request.infill} leaves the rest of the song as it is, and {length} is about all of it",
        f"leave out {length}",
    )
    yield Fault(
        request.style is not None and not (request.prompt is None and request.like is None),
        "a piece has the style of the song that is given",
        "leave out --style, or the song",
    )
    others = {"--like": request.like, "--prompt": request.prompt, "--style": request.style}
    other = _first(others)
    yield Fault(
        request.interpolate is not None and bool(other),
        f"--interpolate leads from one song to another, and {other} says something else",
        f"leave out {other}",
    )


def _form(request: "Request") -> Iterator[Fault]:
    others = {
        "--seconds": request.seconds,
        "--bars": request.bars,
        "--prompt": request.prompt,
        "--like": request.like,
        "--interpolate": request.interpolate,
        "--beam": request.beam,
    }
    other = _first(others)
    yield Fault(
        request.form is not None and bool(other),
        f"--form says what a piece is made of from its beginning to its end, and {other} says something else",
        f"leave out --form, or {other}",
    )


def _wishes(request: "Request") -> Iterator[Fault]:
    wishes = request.wishes
    told = {"--tempo": wishes.tempo, "--meter": wishes.meter, "--instruments": wishes.instruments or None}
    given = _first(told)
    yield Fault(
        request.prompt is not None and bool(given),
        f"{given} is that of the song that is given",
        f"leave out {given}, or --prompt",
    )
    for name, number in wishes.facts.items():
        least, most, known = ASKABLE[name]
        yield Fault(not least <= number <= most, f"--{name} {number:g} is out of range", f"give {known}")
    steering = request.steering
    yield Fault(
        steering is not None and not 0 <= steering < math.inf,
        f"--steering is {steering}",
        "give a number ≥ 0; 0: what was asked is only told",
    )
    yield Fault(
        steering is not None and not wishes.numbers(),
        "--steering to nothing",
        'say what pieces are to be, as in --key "C minor" or --density 4',
    )
    guidance = request.guidance
    yield Fault(
        guidance is not None and not 0 <= guidance < math.inf,
        f"--guidance is {guidance}",
        "give a number ≥ 0; 1: as the model learned it",
    )
    yield Fault(
        guidance is not None and not wishes,
        "--guidance to nothing",
        'say what pieces are to be, as in --key "C minor"',
    )


def _latents(request: "Request") -> Iterator[Fault]:
    no_song = request.like is None and request.interpolate is None
    yield Fault(
        not 0 <= request.variation < math.inf,
        f"--variation {request.variation} is no distance",
        "give a number ≥ 0; 0: as the song is",
    )
    yield Fault(
        no_song and request.variation != 0,
        "--variation of no song",
        "name the song that pieces are to be like: --like song.mid",
    )
    yield Fault(
        no_song and bool(request.keep),
        f"--keep {','.join(request.keep)} of no song",
        "name the song whose latents are kept: --like song.mid",
    )
    yield Fault(
        request.steps is not None and request.interpolate is None,
        "--steps from nowhere to nowhere",
        "name two songs: --interpolate a.mid b.mid",
    )
    yield Fault(
        request.hold and not request.more,
        "--hold of everything changes nothing",
        "say what there is to be more of: --more density=1.5",
    )
    temperature = request.latent_temperature
    yield Fault(
        temperature is not None and not 0 <= temperature < math.inf,
        f"--latent-temperature is {temperature}",
        "give a number ≥ 0, as in 0.8",
    )


def _choosing(request: "Request") -> Iterator[Fault]:
    drawing = {
        "--temperature": request.temperature,
        "--top-k": request.top_k,
        "--top-p": request.top_p,
        "--min-p": request.min_p,
    }
    drawn = _first(drawing)
    yield Fault(
        request.beam is not None and bool(drawn),
        f"--beam looks for what is likeliest, and {drawn} is for drawing by chance",
        f"leave out {drawn}, or --beam",
    )


def _first(given: Mapping[str, object]) -> str:
    """The first option that is given, empty without any."""
    return next((option for option, value in given.items() if value is not None), "")

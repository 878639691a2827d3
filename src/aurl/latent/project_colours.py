"""Colours of latents on a plane: of keys round the circle of fifths, of numbers from dark to bright, of words."""

import colorsys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib import colormaps
from matplotlib.colors import to_hex

from aurl.latent.project import Projection
from aurl.studies.names import parse_key
from aurl.studies.pitch_classes import KEYS, OCTAVE

KEY = "key"
UNKNOWN = "#c9cfd8"
PALETTE = ("#4269d0", "#e8890c", "#d1495b", "#3ca951", "#8e5bd0", "#2a9d8f", "#8a5a3b", "#c2569b")
SCALE_STEPS = 5
"""Values of a number that the legend names."""
USUAL = (0.02, 0.98)
"""Quantiles between which numbers have different colours: a single odd one would take them all."""
MAJOR_BRIGHTNESS, MINOR_BRIGHTNESS = 0.92, 0.58


@dataclass(frozen=True)
class Colouring:
    """One way to colour the points.

    Args:
        name: of the factor or label.
        colours: of each point.
        values: of each point, as text; empty where it is not known.
        legend: text → colour.
    """

    name: str
    colours: tuple[str, ...]
    values: tuple[str, ...]
    legend: Mapping[str, str]


def colourings(found: Projection) -> list[Colouring]:
    """All that differ between the points: words first."""
    words = [_of_words(name, words) for name, words in found.words.items() if len(set(words) - {""}) > 1]
    numbers = [
        _of_numbers(name, values)
        for name, values in found.numbers.items()
        if len({value for value in values if value is not None}) > 1
    ]
    return [*words, *numbers]


def _of_words(name: str, words: Sequence[str]) -> Colouring:
    counts = Counter(word for word in words if word)
    if name == KEY:
        known = {word: _colour_of_key(word) for word in sorted(counts, key=parse_key)}
    else:
        known = {word: colour for (word, _), colour in zip(counts.most_common(), PALETTE, strict=False)}
    shown = known | ({"other": UNKNOWN} if len(known) < len(counts) else {})
    return Colouring(name, tuple(known.get(word, UNKNOWN) for word in words), tuple(words), shown)


def _colour_of_key(word: str) -> str:
    """Keys a fifth apart look alike, and so do relative ones; minor ones are darker."""
    fifths, minor = KEYS[parse_key(word)]
    brightness = MINOR_BRIGHTNESS if minor else MAJOR_BRIGHTNESS
    return to_hex(colorsys.hsv_to_rgb((fifths % OCTAVE) / OCTAVE, 0.75, brightness))


def _of_numbers(name: str, values: Sequence[float | None]) -> Colouring:
    known = sorted(value for value in values if value is not None)
    low, high = (known[round(share * (len(known) - 1))] for share in USUAL)
    span = (high - low) or 1.0

    def colour(value: float | None) -> str:
        place = 0.0 if value is None else min(max((value - low) / span, 0.0), 1.0)
        return UNKNOWN if value is None else to_hex(colormaps["viridis"](place))

    marks = [low + span * step / (SCALE_STEPS - 1) for step in range(SCALE_STEPS)]
    texts = tuple("" if value is None else f"{value:.3g}" for value in values)
    return Colouring(name, tuple(map(colour, values)), texts, {f"{mark:.3g}": colour(mark) for mark in marks})

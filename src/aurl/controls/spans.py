"""Music with a span left out, which is told at the end: `left MASK SEP TIME_SHIFT* right SEP middle EOS`.

Infilling as language modelling (Bavarian et al., "Efficient Training of Language Models to Fill in the Middle", 2022),
by notes: each belongs where it begins and ends at the latest where that ends, so every part is whole by itself.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aurl.augment.notes import Ids, PassageNotes, spell
from aurl.augment.passage import NOT_YET
from aurl.tokens.vocabulary import EOS, MASK, MAX_SHIFT_STEPS, SEP, TIME_SHIFT


@dataclass(frozen=True, slots=True)
class Span:
    """A time from `begin` to `end`, in steps."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Sides:
    """A passage in three parts, as bodies of ids.

    Args:
        left: what begins before the span; it lasts until the span begins.
        middle: what begins in the span, EOS last.
        right: what begins after it.
    """

    left: Ids
    middle: Ids
    right: Ids


def divide(notes: PassageNotes, span: Span, *, start_step: int, part: int, velocity: int, parts: bool) -> Sides:
    """Cut a passage that begins at `start_step`, where `part` and `velocity` are in force, at both ends of a span."""
    before = ~notes.begins | (notes.onset < span.begin)
    after = notes.begins & (notes.onset >= span.end)
    left = _until(notes, before, span.begin)
    middle = _until(notes, ~before & ~after, span.end)
    return Sides(
        spell(left, start_step=start_step, part=part, velocity=velocity, parts=parts, is_last=False),
        spell(middle, start_step=span.begin, part=NOT_YET, velocity=NOT_YET, parts=parts, is_last=True),
        spell(_taken(notes, after), start_step=span.end, part=NOT_YET, velocity=NOT_YET, parts=parts, is_last=False),
    )


def arrange(left: Ids, span: Span, right: Ids) -> Ids:
    """The body in front of the middle."""
    full, rest = divmod(span.end - span.begin, MAX_SHIFT_STEPS)
    gap = [TIME_SHIFT.stop - 1] * full + [TIME_SHIFT.start + rest - 1] * bool(rest)
    return np.concatenate([left, [MASK, SEP, *gap], right, [SEP]], dtype=np.uint16, casting="unsafe")


def without_end(body: Ids) -> Ids:
    """A body without its EOS."""
    return body[:-1] if len(body) and body[-1] == EOS else body


def _taken(notes: PassageNotes, chosen: NDArray[np.bool_]) -> PassageNotes:
    columns = {name: getattr(notes, name)[chosen] for name in ("onset", "offset", "lane", "velocity", "begins", "ends")}
    return replace(notes, **columns)


def _until(notes: PassageNotes, chosen: NDArray[np.bool_], end: int) -> PassageNotes:
    """Some of the notes, which all end by `end`; so does the passage."""
    taken = _taken(notes, chosen)
    return replace(taken, offset=np.minimum(taken.offset, end), ends=np.ones_like(taken.ends), end=end)

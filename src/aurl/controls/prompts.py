"""Music that a model is to go on with, told as training would have told it."""

from collections.abc import Mapping, Sequence

import numpy as np

from aurl.augment.passage import Passage
from aurl.controls.chords import with_chords
from aurl.controls.spans import Span, arrange, divide, without_end
from aurl.controls.told import Heard, with_facts
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import Fact, Header


def told_prompt(
    ids: Sequence[int], header: int, codec: Codec, asked: Mapping[Header | Fact, int] | None = None
) -> list[int]:
    """The ids of a prompt with all that `codec` tells: what was asked, else what is measured of the prompt itself.

    Args:
        ids: BOS, header, body without EOS, as `Codec.encode` writes them.
        header: how many of them are the header.
        codec: of the model.
        asked: group → value.
    """
    if not (codec.has_controls or asked):
        return list(ids)
    passage = Passage(np.array(ids, np.uint16), header, 1)
    heard = Heard.of(passage, codec)
    body = passage.ids[header:]
    if codec.chords:
        body, _ = with_chords(body, heard.chords(), start_step=0)
    told = with_facts(passage.ids[:header], heard.facts(codec.facts) | dict(asked or {}))
    return [*told.tolist(), *body.tolist()]


def told_around(
    passage: Passage, span: Span, codec: Codec, asked: Mapping[Header | Fact, int] | None = None
) -> list[int]:
    """The ids of a passage up to where a span of it is to be told anew; what is in the span is not looked at.

    Args:
        passage: with music before or behind the span.
        span: inside the passage.
        codec: of the model, with `infill`.
        asked: group → value.
    """
    whole = Heard.of(passage, codec)
    notes = whole.notes
    sides = divide(
        notes, span, start_step=passage.start_step, part=passage.part, velocity=passage.velocity, parts=codec.parts
    )
    kept = whole.without(span)
    left, right = sides.left, without_end(sides.right)
    if codec.chords:
        chords = kept.chords()
        left, _ = with_chords(left, chords, start_step=passage.start_step)
        right, _ = with_chords(right, chords, start_step=span.end)
    told = with_facts(passage.ids[: passage.header], kept.facts(codec.facts) | dict(asked or {}))
    return [*told.tolist(), *arrange(left, span, right).tolist()]
